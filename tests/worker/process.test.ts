// The worker as a process: its start, its signals, its last words.
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkCall } from '@berth/shared/auth.ts';
import type { Beat } from '@berth/shared/ledger/ledger.ts';
import { gguf } from './gguf-file.ts';

const script = join(import.meta.dirname, '../../worker/start.mjs');
const secret = 'the secret of this pool';

let folder = '';
let gateway: Server;
let gatewayUrl = '';
let beats: Beat[] = [];

/** A lone gateway that takes beats from who knows the secret, and nothing else. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-process-'));
  await writeFile(join(folder, 'm.gguf'), gguf());
  gateway = createServer((request, response) => {
    void text(request).then((body) => {
      const checked = checkCall(secret, request.method ?? '', request.url ?? '', request.headers, Date.now());
      if (checked.kind === 'ok') beats.push(JSON.parse(body));
      response.statusCode = checked.kind === 'ok' ? 200 : 401;
      return response.end('{"kind":"ok","added":0,"dropped":0}');
    });
  }).listen(0, '127.0.0.1');
  await once(gateway, 'listening');
  const address = gateway.address();
  gatewayUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
});
afterAll(async () => {
  gateway.closeAllConnections();
  gateway.close();
  await rm(folder, { recursive: true, force: true });
});

const children: ChildProcess[] = [];
/** What a failed test has left running. */
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

interface Ran {
  child: ChildProcess;
  /** The first message: its address. */
  ready: Promise<{ ready: true; url: string }>;
  ended: Promise<{ code: number | null; output: string }>;
}

function run(env: Record<string, string>): Ran {
  const clean = { PATH: process.env['PATH'], ENGINE: 'echo', GATEWAY_URL: gatewayUrl, MODELS_DIR: folder };
  const child = fork(script, { env: { ...clean, ...env }, silent: true, execArgv: [] });
  children.push(child);
  let output = '';
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
  for (const stream of streams) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ready = Promise.withResolvers<{ ready: true; url: string }>();
  child.on('message', (message: { ready: true; url: string }) => ready.resolve(message));
  // Not 'close': Node leaves it out when the channel was disconnected.
  const ended = Promise.all([once(child, 'exit'), ...streams.map((stream) => once(stream, 'end'))]).then(() => ({
    code: child.exitCode,
    output,
  }));
  return { child, ready: ready.promise, ended };
}

const good = { CLUSTER_SECRET: secret, WORKER_ID: 'w1' };

describe('the worker process', () => {
  it('announces itself to the lone gateway, tells its address, and drains on SIGTERM', async () => {
    beats = [];
    const { child, ready, ended } = run(good);
    const { url } = await ready;
    expect(beats[0]).toMatchObject({ worker: 'w1', boot: true, capacity: 4, serves: ['@w1'] });
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    child.kill('SIGTERM');
    const { code, output } = await ended;
    expect([code, output.includes('draining')]).toEqual([0, true]);
    expect(beats.at(-1)).toMatchObject({ last: true, running: [] });
  });

  it('keeps prompts in a private folder, which goes with it', async () => {
    const { child, ready, ended } = run({ ...good, ENGINE: 'llama', PROMPT_CACHE_BYTES: '1MiB' });
    await ready;
    child.kill('SIGTERM');
    const { output } = await ended;
    const folder = /"folder":"([^"]+)"/.exec(output)?.[1] ?? '';
    expect(folder).toMatch(/berth-prompts-\d+/);
    expect(existsSync(folder)).toBe(false);
  });

  it('leaves Ctrl-C to its supervisor, and drains when the supervisor is gone', async () => {
    beats = [];
    const { child, ready, ended } = run(good);
    await ready;
    child.kill('SIGINT');
    const before = beats.length;
    while (beats.length < before + 2) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(child.exitCode).toBeNull();
    child.disconnect();
    expect((await ended).code).toBe(0);
    expect(beats.at(-1)?.last).toBe(true);
  });

  it('starts without a gateway, says so once, and serves', async () => {
    const { child, ready, ended } = run({ ...good, GATEWAY_URL: 'http://127.0.0.1:1' });
    const { url } = await ready;
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    child.kill('SIGTERM');
    const { output } = await ended;
    expect(output.match(/the ledger does not answer/g)).toHaveLength(1);
    expect(output).toContain('no answer from the gateway at http://127.0.0.1:1');
  });

  it('says what to do when the gateway has another secret', async () => {
    const { child, ready, ended } = run({ ...good, CLUSTER_SECRET: 'another secret of another pool' });
    await ready;
    child.kill('SIGTERM');
    expect((await ended).output).toContain('CLUSTER_SECRET must be the same');
  });

  it('does not start with wrong settings, and lists all of them', async () => {
    const { ended } = run({
      ...good,
      NUM_PARALLEL: '0',
      KEEP_ALIVE: 'soon',
      GPU: 'big',
      OLLAMA_MAX_LOADED_MODELS: 'x',
    });
    const { code, output } = await ended;
    expect(code).toBe(1);
    expect(output).toMatch(/NUM_PARALLEL: must be a whole number from 1 to 256, got "0"/);
    expect(output).toMatch(/KEEP_ALIVE: must be a duration/);
    expect(output).toMatch(/GPU: must be auto/);
    expect(output).toMatch(/OLLAMA_MAX_LOADED_MODELS: must be a whole number/);
    expect(output).not.toContain('    at ');
  });

  it('does not start without a secret and without Redis', async () => {
    const { ended } = run({});
    const { code, output } = await ended;
    expect([code, output]).toEqual([1, expect.stringContaining('needs CLUSTER_SECRET')]);
  });

  it('says which port is in use', async () => {
    const { ended } = run({ ...good, WORKER_PORT: new URL(gatewayUrl).port });
    const { code, output } = await ended;
    expect([code, output]).toEqual([1, expect.stringMatching(/port \d+ on 127\.0\.0\.1 is in use.*WORKER_PORT/)]);
  });
});
