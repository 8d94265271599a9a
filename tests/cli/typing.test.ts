// What is typed before anything happens: commands and options that nearly exist, settings as options, a download's bar.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { resultOf } from '../../cli/bench/figures.ts';
import { nearest } from '../../cli/nearest.ts';
import { demoPath } from '../e2e/berth.ts';
import { typeIn } from './typed.ts';

describe('a command that does not exist', () => {
  it.each([
    ['statsu', 'there is no command "statsu": did you mean "berth status"?'],
    ['modls', 'did you mean "berth models"?'],
    ['models lod x', 'did you mean "berth models load"?'],
    ['keys lst', 'did you mean "berth keys list"?'],
    ['frobnicate', 'there is no command "frobnicate"\n'],
  ])('%s ends with 2 and names its neighbour', async (line, sentence) => {
    const { code, explained } = await typeIn(line, {});
    expect([code, explained]).toEqual([2, expect.stringContaining(sentence)]);
    expect(explained).toContain('berth help lists all commands.');
  });

  it('is told from one that is far from all', () => {
    expect(nearest('dran', ['drain', 'undrain'])).toBe('drain');
    expect(nearest('xyz', ['up', 'drain'])).toBeNull();
    expect(nearest('quar', ['queue', 'quarantine list'])).toBe('quarantine list');
  });
});

it('an option that does not exist is told its neighbour', async () => {
  const { code, explained } = await typeIn('bench --concurency 3', {});
  expect([code, explained]).toEqual([2, expect.stringContaining('did you mean --concurrency?')]);
});

it('help teaches: each command by itself, and each group', async () => {
  expect((await typeIn('help models pull', {})).said).toMatch(
    /^Usage: berth models pull MODEL\n[^]*berth models pull llama/,
  );
  expect((await typeIn('models --help', {})).said).toMatch(/models load[^]*models pin/);
  expect((await typeIn('help', {})).said).toMatch(/up +starts a gateway and a worker/);
  expect((await typeIn('worker --help', {})).said).toMatch(/--slots, --num-parallel\n +Slots of a worker[^\n]*\(4\)/);
});

describe('berth up, gateway and worker', () => {
  it('hand their options on as settings', async () => {
    const env = { NUM_PARALLEL: '2', KEEP_ALIVE: '1m' };
    const { code, became } = await typeIn('worker --slots 8 --models /m --host 10.0.0.2 --keep-alive 2m', { env });
    const settings = { NUM_PARALLEL: '8', MODELS_DIR: '/m', WORKER_HOST: '10.0.0.2', KEEP_ALIVE: '2m' };
    expect([code, became]).toEqual([0, [{ part: 'worker', settings }]]);
    const gateway = await typeIn('gateway --port 9000', {});
    expect(gateway.became).toEqual([{ part: 'gateway', settings: { GATEWAY_PORT: '9000' } }]);
  });

  it('start nothing when a setting is wrong, and name each', async () => {
    const { code, explained, became } = await typeIn('up --slots 0 --port x', {});
    expect([code, became]).toEqual([2, []]);
    expect(explained).toMatch(/GATEWAY_PORT: must be a whole number[^]*NUM_PARALLEL: must be a whole number/);
  });

  it('take no key of the gateway where others could read it', async () => {
    expect((await typeIn('gateway --api-key a-key-of-sixteen-and-more', {})).code).toBe(2);
  });
});

describe('berth models pull', () => {
  /** A gateway that answers with these lines. */
  async function pulled(lines: readonly object[], terminal = true) {
    const server = createServer((_request, response) => {
      for (const line of lines) response.write(`${JSON.stringify(line)}\n`);
      response.end();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const typed = await typeIn('models pull m', { url, terminal });
    server.close();
    return typed;
  }
  const layer = { status: 'pulling aabb', digest: 'sha256:aabb', total: 4 * 2 ** 20 };

  it('draws a bar for what comes, and says when it is there', async () => {
    const lines = [{ status: 'pulling manifest' }, { ...layer, completed: 2 ** 20 }, layer, { status: 'success' }];
    const { code, said, drawn } = await pulled(lines);
    expect([code, said]).toEqual([0, 'm is there.']);
    expect(drawn[1]).toBe(`pulling aabb ########${'.'.repeat(22)}  25 %  1.0 MiB of 4.0 MiB`);
    expect((await pulled(lines, false)).said).toBe('{"status":"success"}');
  });

  it('ends with 1 when it fails in the middle, or just stops', async () => {
    const failed = await pulled([layer, { error: 'no space left' }]);
    expect([failed.code, failed.explained]).toEqual([1, 'no space left']);
    expect((await pulled([layer])).explained).toContain('broke off');
  });
});

describe('berth doctor size', () => {
  it('adds up weights and slots, and says how many fit', async () => {
    const one = JSON.parse((await typeIn(`doctor size ${demoPath} --slots 1 --context 512`, {})).said);
    const line = `doctor size ${demoPath} --slots 4 --context 512 --memory 0.01`;
    const four = JSON.parse((await typeIn(line, {})).said);
    expect(four.needsBytes).toBe(four.weightsBytes + four.contextBytes);
    expect(four.contextBytes).toBeGreaterThan(one.contextBytes);
    expect(four.fits.slots).toBeGreaterThan(1);
    const table = (await typeIn(`doctor size ${demoPath} --context 9999`, { terminal: true })).said;
    expect(table).toMatch(/^weights +885 KiB\n4 slots of 2048 tokens +[\d.]+ MiB\ntogether /);
    expect(table).toContain('trained for 2048 tokens');
  });

  it('says what is wrong', async () => {
    expect((await typeIn('doctor size none.gguf', {})).explained).toMatch(/^none\.gguf cannot be read as a model/);
    expect((await typeIn(`doctor size ${demoPath} --slots 0`, {})).explained).toContain(
      '--slots must be a whole number',
    );
    expect((await typeIn(`doctor size ${demoPath} --memory much`, {})).explained).toContain('such as 24');
  });
});

it('percentiles are by nearest rank: of times the larger end, of speeds the smaller', () => {
  const run = (ms: number) => ({ why: null, piecesMs: [ms / 2, ms], endMs: ms, promptTokens: 1, outputTokens: 10 });
  const load = { model: 'm', requests: 100, concurrency: 1, promptTokens: 1, outputTokens: 10 };
  const runs = Array.from({ length: 100 }, (_, at) => run(at + 1));
  const failed = { ...run(0), why: 'no slot' };
  const result = resultOf(load, [...runs, failed, failed], 2_000);
  expect(result).toMatchObject({ answered: 100, errors: { 'no slot': 2 }, tokensPerS: 500, requestsPerS: 50 });
  expect(result.totalMs).toEqual({ p50: 50, p95: 95, p99: 99 });
  expect(result.gapMs).toEqual({ p50: 25, p95: 47.5, p99: 49.5 });
  expect(result.userTokensPerS.p99).toBeCloseTo(10 / 0.099);
});
