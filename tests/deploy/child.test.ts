// A child that is kept running: ready, crashed and started again, stopped, or never started at all.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepRunning } from '../../deploy/child.ts';
import type { Child } from '../../deploy/child.ts';

let folder = '';
let said: string[] = [];
let child: Child | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-child-'));
  said = [];
});
afterEach(async () => {
  child?.kill();
  await rm(folder, { recursive: true, force: true });
});

/** Starts a program that notes its pid and settings at each start. */
async function start(program: string, env: Record<string, string> = {}): Promise<Child> {
  const script = join(folder, 'program.mjs');
  const note = `
    import { appendFileSync } from 'node:fs';
    appendFileSync(${JSON.stringify(join(folder, 'starts'))}, process.pid + ' ' + process.env.GATEWAY_PORT + '\\n');
    const ready = () => process.send({ ready: true, url: 'http://127.0.0.1:4711' });
  `;
  await writeFile(script, `${note}\n${program}`);
  child = keepRunning({
    name: 'the child',
    script,
    env: { ...process.env, ...env },
    say: (line) => void said.push(line),
  });
  return child;
}

const starts = async () => (await readFile(join(folder, 'starts'), 'utf8').catch(() => '')).split('\n').slice(0, -1);
const lives = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe('a child', () => {
  it('is ready when it says so', async () => {
    const { ready } = await start('ready(); setInterval(() => {}, 1000);');
    expect(await ready).toEqual({ ready: true, url: 'http://127.0.0.1:4711' });
    expect(said).toEqual([]);
  });

  it('that ends before it is ready did not start, and is not started again', async () => {
    const { ready } = await start('process.exit(7);');
    await expect(ready).rejects.toThrow('the child did not start (exit code 7)');
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(await starts()).toHaveLength(1);
  });

  it('that crashes is started again after a pause that doubles, with the port it had', async () => {
    await start(`ready(); setTimeout(() => process.kill(process.pid, 'SIGKILL'), 20);`, { GATEWAY_PORT: '0' });
    await until(async () => (await starts()).length >= 3);
    expect(said.slice(0, 2)).toEqual([
      'the child ended (SIGKILL); it is started again in 0.5 s',
      'the child ended (SIGKILL); it is started again in 1 s',
    ]);
    expect((await starts()).map((line) => line.split(' ')[1])).toEqual(['0', '4711', '4711']);
  });

  it('that is stopped may finish, and is not started again', async () => {
    const one = await start(
      `process.on('SIGTERM', () => setTimeout(() => process.exit(0), 200)); ready(); setInterval(() => {}, 1000);`,
    );
    await one.ready;
    const [pid] = (await starts()).map(Number.parseFloat);
    await one.stop();
    expect(lives(pid ?? 0)).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect([await starts(), said]).toEqual([[expect.any(String)], []]);
    await one.stop();
  });

  it('that has crashed and is stopped before it starts again stays down', async () => {
    const one = await start(`ready(); setTimeout(() => process.exit(3), 20);`);
    await until(() => said.length > 0);
    await one.stop();
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(await starts()).toHaveLength(1);
  });

  it('that does not leave is killed', async () => {
    const one = await start(`process.on('SIGTERM', () => {}); ready(); setInterval(() => {}, 1000);`);
    await one.ready;
    const [pid = 0] = (await starts()).map(Number.parseFloat);
    const stopped = one.stop();
    one.kill();
    await stopped;
    expect(lives(pid)).toBe(false);
  });
});
