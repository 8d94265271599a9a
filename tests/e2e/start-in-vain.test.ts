// Starts that cannot succeed: each says what is wrong and what to do, ends with 1, and leaves nothing running.
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { delimiter, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { groupOf, startGateway, startInVain, startWorker } from './berth.ts';
import type { Start } from './berth.ts';

/** @returns its lines; the launcher's own word that a process did not start is the last */
async function refused(start: Start): Promise<string[]> {
  const { code, output, pid } = await startInVain(start);
  expect(code).toBe(1);
  expect(await groupOf(pid)).toEqual([]);
  expect(output).not.toMatch(/\n\s+at /); // no stack
  return output.trim().split('\n');
}

describe('npm start says what is wrong and leaves nothing running', () => {
  test('all wrong settings of gateway and worker at once', async () => {
    const lines = await refused({
      env: { NUM_PARALLEL: '0', GATEWAY_PORT: '99999', KEEP_ALIVE: 'soon', MAX_BODY: 'big', LOG_LEVEL: 'loud' },
    });
    expect(lines).toHaveLength(6);
    expect(lines[0]).toBe('wrong settings:');
    const wanted = {
      NUM_PARALLEL: 'from 1 to 256, got "0"',
      GATEWAY_PORT: 'from 0 to 65535, got "99999"',
      KEEP_ALIVE: 'such as 5m or 1h30m',
      MAX_BODY: 'such as 4MiB, got "big"',
      LOG_LEVEL: 'one of debug, info, warn, error, got "loud"',
    };
    for (const [name, advice] of Object.entries(wanted)) {
      const line = lines.find((line) => line.includes(name));
      expect(line, name).toContain(advice);
    }
  });

  test('no secret of a wrong setting is repeated', async () => {
    const lines = await refused({ env: { CLUSTER_SECRET: 'hunter2', REDIS_URL: 'http://user:hunter2@nowhere' } });
    expect(lines.join('\n')).not.toContain('hunter2');
    expect(lines.join('\n')).toMatch(/CLUSTER_SECRET.*\n.*REDIS_URL|REDIS_URL.*\n.*CLUSTER_SECRET/);
  });

  test('a port that is in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const lines = await refused({ env: { GATEWAY_PORT: String(port) } });
    other.close();
    expect(lines[0]).toContain(`port ${port} on 127.0.0.1 is in use`);
    expect(lines[0]).toContain('GATEWAY_PORT');
    expect(lines).toHaveLength(2);
  });

  test('a Redis that cannot be reached', async () => {
    const lines = await refused({ env: { REDIS_URL: 'redis://:hunter2@127.0.0.1:1' } });
    expect(lines[0]).toMatch(
      /Redis at redis:\/\/\S*127\.0\.0\.1:1 cannot be reached .*: start it, or correct REDIS_URL/,
    );
    expect(lines.join('\n')).not.toContain('hunter2');
    expect(lines).toHaveLength(2);
  });

  test('a Node that is too old', async () => {
    for (const script of ['deploy', 'gateway', 'worker']) {
      const lines = await refused({ command: [...oldNode(), join(script, 'start.mjs')] });
      expect(lines[0]).toMatch(/^Berth needs Node 24 or newer, this is (1\d|2[0-3])\./);
      expect(lines.join('\n')).toMatch(/npm ci/);
    }
  });
});

/** The machine's own Node when it is old, else one that says that it is. */
function oldNode(): readonly [string, ...string[]] {
  const versionOf = (program: string) => {
    try {
      return Number(/^v(\d+)/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[1]);
    } catch {
      return Number.NaN;
    }
  };
  const programs = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'node'));
  const old = programs.find((program) => versionOf(program) < 24);
  if (old !== undefined) return [old];
  const pretend = 'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.0" } })';
  return [process.execPath, '--import', `data:text/javascript,${encodeURIComponent(pretend)}`];
}

describe('one process alone', () => {
  test('a worker without Redis and without a secret says what to set', async () => {
    await expect(startWorker({})).rejects.toThrow(/CLUSTER_SECRET.*GATEWAY_URL.*npm start/);
  });

  test('a worker and a gateway list every wrong setting', async () => {
    await expect(startWorker({ NUM_PARALLEL: '0', ENGINE: 'steam' })).rejects.toThrow(/NUM_PARALLEL[^]*ENGINE/);
    await expect(startGateway({ MAX_QUEUE: '-1', AUTH: 'maybe' })).rejects.toThrow(/AUTH[^]*MAX_QUEUE/);
  });

  test('a worker whose port is in use says so', async () => {
    await using gateway = await startGateway({ CLUSTER_SECRET: 'the secret of this test' });
    const WORKER_PORT = new URL(gateway.url).port;
    const env = { CLUSTER_SECRET: 'the secret of this test', GATEWAY_URL: gateway.url, ENGINE: 'echo', WORKER_PORT };
    await expect(startWorker(env)).rejects.toThrow(`port ${WORKER_PORT} on 127.0.0.1 is in use`);
  });
});
