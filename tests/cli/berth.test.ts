// The command line on a real Berth, which it has started itself: models, drain, bench, and the end.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Copy } from '../../cli/models/list.ts';
import { demoPath, groupOf, startLocal } from '../e2e/berth.ts';
import type { Berth } from '../e2e/berth.ts';
import { eventually } from '../e2e/eventually.ts';
import { typeIn } from './typed.ts';
import type { Typed } from './typed.ts';

let berth: Berth;
beforeAll(async () => {
  const options = ['--port', '0', '--slots', '2', '--worker-id', 'box', '--models', demoPath];
  berth = await startLocal({ command: [process.execPath, 'cli/start.mjs', 'up', ...options] });
});
afterAll(() => berth.stop());

const type = (line: string, typed: Typed = {}) => typeIn(line, { url: berth.url, ...typed });
/** As `type`, in real time. */
const slow = (line: string) => type(line, { pauseMs: 250, pausesMax: 100 });
const copies = async () => JSON.parse((await type('models')).said) as Copy[];
const model = 'berth-demo';

describe('berth up', () => {
  it('starts gateway and workers with the settings that were typed', async () => {
    const { said } = await type('status');
    expect(JSON.parse(said)).toMatchObject({ health: { status: 'ok', workers: [{ slots: 2 }] } });
  });
});

describe('berth models', () => {
  it('lists, loads, pins, unpins and unloads', async () => {
    expect(await copies()).toMatchObject([{ model: `${model}:latest`, state: 'on disk', pinned: false }]);
    expect(await type(`models load ${model} --keep-alive 20m`)).toMatchObject({ code: 0, said: `${model} is loaded.` });
    const table = async () => (await type('models list', { terminal: true })).said;
    await eventually('it stays for 20 minutes', async () => (await table()).endsWith('20 min'));
    expect(await table()).toMatch(
      /^MODEL +WORKER +STATE +SIZE +CONTEXT +STAYS\nberth-demo:latest +\S+ +loaded +885 KiB +2048 +20 min$/,
    );

    const pinned = await type(`models pin ${model}`);
    expect(pinned.said).toMatch(/^berth-demo:latest is pinned on /);
    expect((await type('models', { terminal: true })).said).toMatch(/loaded .* pinned$/);
    expect((await type(`models unpin ${model}`)).said).toMatch(/^berth-demo is unpinned on /);
    expect((await type(`models unpin ${model}`)).said).toBe(`${model} was not pinned.`);

    expect((await slow(`models unload ${model}`)).said).toBe(`${model} is unloaded.`);
    expect((await type(`models unload ${model}`)).said).toBe(`${model} is not loaded.`);
  });

  it('say what is wrong with what was typed, in the words of the gateway', async () => {
    const [worker = ''] = (await copies()).map((copy) => copy.worker);
    expect(await type('models load unknown')).toMatchObject({
      code: 1,
      explained: expect.stringContaining('not found'),
    });
    expect((await type('models pin berth-demo --worker nobody')).explained).toContain(`${worker} have it`);
    expect((await type('models load berth-demo --keep-alive soon')).explained).toContain('keep_alive');
    expect((await type(`models move ${model} ${worker}`)).code).toBe(0);
  });
});

describe('berth drain', () => {
  it('waits until the worker runs nothing, and undrain ends it', async () => {
    const [worker = ''] = (await copies()).map((copy) => copy.worker);
    expect(await slow(`drain ${worker} --wait`)).toMatchObject({
      code: 0,
      said: `${worker} takes nothing new, and runs nothing.`,
    });
    const state = async () => (await type('status')).said;
    await eventually('it is drained', async () => (await state()).includes('"state": "drained"'));
    expect((await type(`undrain ${worker}`)).said).toBe(`${worker} takes requests again.`);
    await eventually('it is ready', async () => (await state()).includes('"state": "ready"'));
    expect((await type('drain nobody')).explained).toContain(`is not there: ${worker} are`);
  });
});

describe('berth bench', () => {
  it('tells a person how long what took, with a line of progress', async () => {
    const { code, said, drawn } = await type('bench --requests 6 --concurrency 2 --output-tokens 12', {
      terminal: true,
    });
    expect(code).toBe(0);
    expect(drawn).toContain('2 at a time ############################## 6 of 6');
    expect(said).toMatch(/^berth-demo:latest: 6 of 6 answered in [\d.]+ s, 2 at a time, [\d.]+ tokens each/);
    expect(said).toMatch(/^time to the first token +[\d.]+ ms +[\d.]+ ms +[\d.]+ ms$/m);
    expect(said).toMatch(/^Together [\d.]+ tokens a second, [\d.]+ requests a second\.$/m);
  });

  it('is JSON for a pipe, and its figures agree with each other', async () => {
    const { said } = await type(`bench --model ${model} --requests 4 --prompt-tokens 8 --output-tokens 5`);
    const { load, answered, errors, tokensPerS, seconds, outputTokens } = JSON.parse(said);
    expect([load.concurrency, load.model, answered, errors]).toEqual([4, model, 4, {}]);
    expect(tokensPerS * seconds).toBeCloseTo(4 * outputTokens, 6);
    expect(outputTokens).toBeLessThanOrEqual(5);
  });

  it('draws the curve of speed against requests at a time', async () => {
    const line = 'bench --curve 1,2,4 --requests 4 --output-tokens 8 --plot speed.svg';
    const { said, written } = await type(line, { terminal: true });
    expect(said).toMatch(/^AT A TIME +TOKENS\/S TOGETHER .*\n1 .*\n2 .*\n4 .* 0$/);
    expect(written['speed.svg']).toMatch(/^<svg .*berth-demo:latest, prompts of \d+ tokens.*<\/svg>\n$/s);
    expect(written['speed.svg']?.match(/<circle /g)).toHaveLength(6);
  });

  it('ends with 1 when nothing is answered, with 2 when it was typed wrongly', async () => {
    const none = await type('bench --model unknown');
    expect([none.code, none.explained]).toEqual([
      1,
      expect.stringContaining("unknown does not answer: model 'unknown' not found"),
    ]);
    expect((await type('bench --requests many')).explained).toMatch(
      /^--requests must be a whole number from 1 to 100000, not "many"/,
    );
    expect((await type('bench --plot a.svg')).explained).toMatch(/^--plot draws a --curve/);
  });
});

it('Ctrl-C ends all that was started', async () => {
  berth.kill('SIGINT');
  expect(await berth.ended).toBe(0);
  await eventually('no process is left', async () => (await groupOf(berth.pid)).length === 0);
});
