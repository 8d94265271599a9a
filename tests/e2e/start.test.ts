// `npm start` as a newcomer uses it: started, asked, stopped with Ctrl-C.
import { execFile } from 'node:child_process';
import { copyFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aFolder, cleanEnv, demoPath, echoModels, enginesOf, groupOf } from './berth.ts';
import { longModel, longText, processes, startLocal } from './berth.ts';
import type { Berth, Folder } from './berth.ts';
import { eventually } from './eventually.ts';
import { ask, begin, chat, ollamaLines, openaiText } from './requests.ts';

const model = 'berth-demo';
const question = 'What is a slot?';
const run = promisify(execFile);

/** A process group is empty: the launcher and all that it started have gone. */
async function nothingLeft(berth: Berth): Promise<void> {
  await eventually('no process is left', async () => (await groupOf(berth.pid)).length === 0);
}

describe('npm start, without Redis and without a GPU', () => {
  let berth: Berth;

  beforeAll(async () => {
    berth = await startLocal({ command: ['npm', 'start'] });
  });
  afterAll(() => berth.stop());

  test('prints its address, the model and a curl line that works as pasted', async () => {
    expect(berth.output).toContain(`Berth is ready at ${berth.url}`);
    expect(berth.output).toContain(`Models: ${model}`);
    const [curl = ''] = /^ {2}curl [^]*?'$/m.exec(berth.output) ?? [];
    const { stdout } = await run('sh', ['-c', `${curl} --silent --show-error --fail`], { env: cleanEnv() });
    expect(openaiText(stdout)).not.toBe('');
  });

  test('says nothing but that: no warning, no log line', () => {
    const own = berth.output.split('\n').filter((line) => !line.startsWith('npm warn'));
    expect(own.join('\n')).not.toMatch(/"level"|warn|error/i);
  });

  test("answers OpenAI's chat, whole and as a stream, with the same text for the same seed", async () => {
    const body = { ...chat(question), model, seed: 7, temperature: 0 };
    const whole = await ask({ url: berth.url, body });
    const streamed = await ask({
      url: berth.url,
      body: { ...body, stream: true, stream_options: { include_usage: true } },
    });

    expect(whole).toMatchObject({ status: 200, clean: true });
    expect(openaiText(whole.text)).toContain('the right to run one request');
    expect(streamed).toMatchObject({ status: 200, clean: true });
    expect(streamed.headers['content-type']).toContain('text/event-stream');
    expect(openaiText(streamed.text)).toBe(openaiText(whole.text));
    expect(streamed.text).toMatch(/"usage":\{.*"completion_tokens":\d+/);
    expect(streamed.text.trimEnd()).toMatch(/data: \[DONE\]$/);
  });

  test("answers Ollama's chat and generate, as a stream and whole", async () => {
    const options = { seed: 7, num_predict: 40 };
    const chatBody = { model, messages: [{ role: 'user', content: question }], options };
    const asked = [
      { path: '/api/chat', body: chatBody },
      { path: '/api/generate', body: { model, prompt: question, options } },
    ];
    for (const { path, body } of asked) {
      const streamed = ollamaLines((await ask({ url: berth.url, path, body })).text);
      const whole = ollamaLines((await ask({ url: berth.url, path, body: { ...body, stream: false } })).text);
      const textOf = (lines: typeof whole) =>
        lines.map(({ message, response }) => message?.content ?? response).join('');
      expect(streamed.map(({ done }) => done)).toEqual([...streamed.slice(1).map(() => false), true]);
      expect(whole).toHaveLength(1);
      expect(textOf(whole)).not.toBe('');
      expect(textOf(streamed)).toBe(textOf(whole));
    }
  });
});

describe('what nobody can answer', () => {
  let berth: Berth;
  let models: Folder;

  beforeAll(async () => {
    models = await echoModels('m');
    berth = await startLocal({ env: { ENGINE: 'echo', MODELS_DIR: models.path, MAX_BODY: '64KiB' } });
  });
  afterAll(async () => {
    await berth.stop();
    await models[Symbol.asyncDispose]();
  });

  const cases: [what: string, body: string, status: number, says: RegExp][] = [
    ['a model that is not there', JSON.stringify({ ...chat('x'), model: 'nobody' }), 404, /model 'nobody' not found/],
    ['broken JSON', '{"model":"m","messages":[', 400, /JSON/],
    ['a wrong type', JSON.stringify({ model: 'm', messages: 'hello' }), 400, /messages/],
    ['nothing', '', 400, /JSON/],
    ['a body over the limit', JSON.stringify(chat('x'.repeat(65_536))), 413, /larger than 65536 bytes.*MAX_BODY/],
  ];

  test.each(cases)('%s: a clear error in the dialect of the client', async (_what, body, status, says) => {
    for (const path of ['/v1/chat/completions', '/api/chat']) {
      const reply = await fetch(`${berth.url}${path}`, { method: 'POST', body });
      const { error }: { error: string | { message: string; type: string } } = JSON.parse(await reply.text());
      expect(reply.status).toBe(status);
      expect(typeof error).toBe(path === '/api/chat' ? 'string' : 'object');
      expect(typeof error === 'string' ? error : error.message).toMatch(says);
    }
    expect(await ask({ url: berth.url, body: chat('still here') })).toMatchObject({ status: 200 });
  });
});

describe('Ctrl-C', () => {
  test('lets a running answer of the engine end, then leaves no process behind and no complaint', async () => {
    await using models = await longModel();
    await using berth = await startLocal({ command: ['npm', 'start'], env: { MODELS_DIR: models.path } });
    const running = begin({ url: berth.url, path: '/api/chat', body: { ...chat('speak'), model: 'long' } });
    await running.until('"done":false');
    berth.kill('SIGINT');
    await eventually('it is heard', () => berth.output.includes('Stopping'));
    expect(running.text).not.toContain('"done":true');

    const { text, clean } = await running.answer;
    const lines = ollamaLines(text);
    expect(clean).toBe(true);
    expect(lines.at(-1)).toMatchObject({ done: true, done_reason: 'stop' });
    expect(lines.map(({ message }) => message?.content).join('')).toBe(longText);
    await berth.ended;
    await nothingLeft(berth);
    expect(berth.output).not.toContain('"level"');
  });

  test('a second time ends everything at once, and the running stream does not look finished', async () => {
    await using models = await echoModels('m');
    await using berth = await startLocal({ env: { ENGINE: 'echo', MODELS_DIR: models.path } });
    const text = `[[tokenDelayMs=20 repeat=1000]] endless `;
    const running = begin({ url: berth.url, body: chat(text, { stream: true }) });
    await running.until('endless');
    berth.kill('SIGINT');
    await eventually('the first is heard', () => berth.output.includes('Stopping'));
    berth.kill('SIGINT');

    const { clean, text: got } = await running.answer;
    expect({ clean, done: got.includes('[DONE]') }).toEqual({ clean: false, done: false });
    expect(await berth.ended).toBe(130);
    await nothingLeft(berth);
  });

  test('new requests are refused while it drains, in words that a client can act on', async () => {
    await using models = await echoModels('m');
    await using berth = await startLocal({ env: { ENGINE: 'echo', MODELS_DIR: models.path } });
    const running = begin({ url: berth.url, body: chat('[[tokenDelayMs=20 repeat=50]] word ', { stream: true }) });
    await running.until('word');
    berth.kill('SIGINT');
    await eventually('the gateway drains', async () => (await fetch(`${berth.url}/readyz`)).status === 503);

    const late = await ask({ url: berth.url, body: chat('too late') });
    expect(late).toMatchObject({ status: 503, headers: { connection: 'close' } });
    expect(Number(late.headers['retry-after'])).toBeGreaterThan(0);
    expect(late.text).toContain('shutting down');
    expect(await running.answer).toMatchObject({ clean: true });
    expect(await berth.ended).toBe(0);
  });
});

describe('a process that dies', () => {
  let berth: Berth;
  const body = { ...chat(question), model, max_tokens: 3 };
  const answers = () =>
    ask({ url: berth.url, body }).then(
      ({ status }) => status === 200,
      () => false,
    );

  beforeAll(async () => {
    berth = await startLocal();
    expect(await answers()).toBe(true);
  });
  afterAll(() => berth.stop());

  /** A process that the launcher started. */
  async function child(script: string): Promise<number> {
    const all = await processes();
    return all.find(({ parent, command }) => parent === berth.pid && command.includes(script))?.pid ?? 0;
  }

  test('the engine: the next request is served by a new one', async () => {
    const worker = await child('worker/start.mjs');
    const [engine] = await enginesOf(worker);
    process.kill(engine?.pid ?? 0, 'SIGKILL');
    await eventually('the engine is gone', async () => {
      return (await enginesOf(worker)).every(({ pid }) => pid !== engine?.pid);
    });
    await eventually('it answers again', answers);
    expect(await child('worker/start.mjs')).toBe(worker);
  });

  test('the worker: it is started again, and a request that comes meanwhile is answered', async () => {
    process.kill(await child('worker/start.mjs'), 'SIGKILL');
    expect(await answers()).toBe(true);
    expect(berth.output).toMatch(/worker \S+ ended \(SIGKILL\); it is started again/);
  });

  test('the gateway: it is started again on the same port, and finds its worker', async () => {
    process.kill(await child('gateway/start.mjs'), 'SIGKILL');
    await eventually('it says so', () => /gateway ended \(SIGKILL\); it is started again/.test(berth.output));
    await eventually('it answers again', answers);
  });

  test('the launcher: its gateway, worker and engine leave too', async () => {
    expect((await groupOf(berth.pid)).length).toBeGreaterThanOrEqual(4);
    process.kill(berth.pid, 'SIGKILL');
    await nothingLeft(berth);
  });
});

describe('a key', () => {
  test('beyond loopback one is made, kept in a file of mode 0600, never printed to a pipe, and needed', async () => {
    await using folder = await aFolder();
    await using models = await echoModels('m');
    const stateDir = join(folder.path, 'state');
    const env = { ENGINE: 'echo', MODELS_DIR: models.path, GATEWAY_HOST: '0.0.0.0', STATE_DIR: stateDir };
    await using berth = await startLocal({ env });
    const keyPath = join(stateDir, 'key');

    expect(berth.output).toContain(keyPath);
    expect(berth.output).not.toContain('berth_');
    expect(((await stat(keyPath)).mode & 0o777).toString(8)).toBe('600');
    const url = berth.url.replace('0.0.0.0', '127.0.0.1');
    expect(await ask({ url, body: chat('hello') })).toMatchObject({ status: 401 });
    const [curl = ''] = /^ {2}curl [^]*?'$/m.exec(berth.output) ?? [];
    const { stdout } = await run('sh', ['-c', `${curl} --silent --show-error --fail`], { env: cleanEnv() });
    expect(openaiText(stdout)).toBe('What is a slot?');
  });
});

describe('MODELS_DIR', () => {
  test('a corrupt file beside a good one: said once, and the good one serves', async () => {
    await using folder = await aFolder();
    await copyFile(demoPath, join(folder.path, 'good.gguf'));
    await writeFile(join(folder.path, 'broken.gguf'), 'GGUF and nothing more');
    await using berth = await startLocal({ env: { MODELS_DIR: folder.path } });
    const answer = await ask({ url: berth.url, body: { ...chat(question), model: 'good', max_tokens: 3 } });
    const missing = await ask({ url: berth.url, body: { ...chat(question), model: 'broken' } });

    expect(answer).toMatchObject({ status: 200 });
    expect(missing).toMatchObject({ status: 404 });
    expect(missing.text).toContain("model 'broken' cannot be used: cannot use the model file broken.gguf: ");
    expect(berth.output.match(/broken\.gguf/g)).toHaveLength(1);
    expect(berth.output).toContain('Models: good\n');
  });

  test('a folder that does not exist: says so and what to set, and serves the demo model', async () => {
    await using folder = await aFolder();
    const MODELS_DIR = join(folder.path, 'nowhere');
    await using berth = await startLocal({ env: { MODELS_DIR } });
    expect(berth.output).toContain(`MODELS_DIR ${MODELS_DIR} cannot be read`);
    expect(berth.output).toContain('set MODELS_DIR to a folder with .gguf files');
    expect(berth.output).toContain(`Models: ${model}`);
  });
});
