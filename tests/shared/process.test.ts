// The edges of a process: told to leave in time or before it listened, a log that nobody reads, a start in vain.
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

const library = join(import.meta.dirname, '../../shared/process.ts');
let folder = '';
let count = 0;
const children: ChildProcess[] = [];
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'berth-process-'))));
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** Runs a program that knows the library; its output is what it wrote to both streams. */
async function run(program: string) {
  const path = join(folder, `${(count += 1)}.mjs`);
  await writeFile(
    path,
    `import { batchedWriter, refuseToStart, toldToLeave } from ${JSON.stringify(library)};\n${program}`,
  );
  const child = fork(path, { silent: true, execArgv: [] });
  children.push(child);
  const out = child.stdout ? text(child.stdout).catch(() => 'cut') : Promise.resolve('');
  const err = child.stderr ? text(child.stderr) : Promise.resolve('');
  const ended = Promise.all([once(child, 'exit'), out, err]).then(([[code, signal], out, err]) => ({
    code: signal ?? code,
    out,
    err,
  }));
  return { child, ended };
}

const waiting = `
  setInterval(() => {}, 1000);
  toldToLeave().then((why) => { console.log(why); process.exit(0); });
  process.send('here');
`;

describe('a process is told to leave', () => {
  it('by SIGTERM', async () => {
    const { child, ended } = await run(waiting);
    await once(child, 'message');
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ code: 0, out: 'SIGTERM\n' });
  });

  it('by the end of who started it', async () => {
    const { child, ended } = await run(waiting);
    await once(child, 'message');
    child.disconnect();
    expect(await ended).toMatchObject({ code: 0, out: 'the supervisor has gone\n' });
  });

  it('by the end of who started it, even when that was before it listened', async () => {
    const { child, ended } = await run(`
      process.send('here');
      while (process.connected) await new Promise((resolve) => setTimeout(resolve, 5));
      setInterval(() => {}, 1000);
      toldToLeave().then((why) => { console.log(why); process.exit(0); });
    `);
    await once(child, 'message');
    child.disconnect();
    expect(await ended).toMatchObject({ code: 0, out: 'the supervisor has gone\n' });
  });

  it('not by Ctrl-C when somebody supervises it', async () => {
    const { child, ended } = await run(waiting);
    await once(child, 'message');
    child.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(child.exitCode).toBeNull();
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ out: 'SIGTERM\n' });
  });
});

describe('a log in batches', () => {
  it('loses nothing at a normal exit, and keeps its order', async () => {
    const { ended } = await run(`
      const write = batchedWriter(process.stdout);
      for (let line = 0; line < 10000; line += 1) write(line + '\\n');
      process.exit(0);
    `);
    const { out } = await ended;
    expect(out.split('\n')).toEqual([...Array.from({ length: 10_000 }, (_, line) => String(line)), '']);
  });

  it('is written while the process goes on', async () => {
    const { child } = await run(`batchedWriter(process.stdout)('one\\n'); setInterval(() => {}, 1000);`);
    expect(String(await once(child.stdout ?? child, 'data'))).toBe('one\n');
  });

  it('that nobody reads any more does not end the process', async () => {
    const { child, ended } = await run(`
      const write = batchedWriter(process.stdout);
      process.on('message', () => process.exit(0));
      setInterval(() => write('x'.repeat(10000) + '\\n'), 5);
      process.send('here');
    `);
    await once(child, 'message');
    child.stdout?.destroy();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([child.exitCode, child.signalCode]).toEqual([null, null]);
    child.send('leave');
    expect(await ended).toEqual({ code: 0, out: 'cut', err: '' });
  });
});

describe('a start in vain', () => {
  it('says why in one line, without a stack, and ends with 1', async () => {
    const { ended } = await run(`refuseToStart(new Error('port 1 is in use: stop it'));`);
    expect(await ended).toEqual({ code: 1, out: '', err: 'port 1 is in use: stop it\n' });
  });
});
