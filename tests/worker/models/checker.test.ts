// The process that checks model files: it is replaced when it dies, and a file that hangs it is given up.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { createChecker } from '../../../worker/models/checker.ts';
import { BadGguf } from '../../../worker/models/gguf-input.ts';
import { virtualClock } from '../../doubles/clock.ts';
import { gguf } from '../gguf-file.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-checker-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
/** Answers as the real one, but dies, hangs or fills its memory for files of these names. */
const fragile = (): string =>
  file(
    'fragile.mjs',
    `process.on('disconnect', () => process.exit());
     process.on('message', (path) => {
       if (path.endsWith('killer')) process.abort();
       if (path.endsWith('hog')) for (const held = []; ; ) held.push('x'.repeat(held.length) + Math.random());
       if (path.endsWith('maze')) for (;;);
       process.send({ kind: 'good', header: { digest: String(process.pid) } });
     });`,
  );

describe('the checker', () => {
  it('tells what a good file is and what is wrong with others, one process for all', async () => {
    using checker = createChecker({ clock: systemClock });
    const [good, bad, missing] = await Promise.allSettled([
      checker.check(file('good.gguf', gguf())),
      checker.check(file('bad.gguf', 'no model')),
      checker.check(join(folder, 'missing.gguf')),
    ]);
    expect(good).toMatchObject({ value: { architecture: 'llama', parameters: 64 } });
    expect(bad).toMatchObject({ reason: expect.any(BadGguf) });
    expect(missing).toMatchObject({ reason: { message: expect.stringContaining('ENOENT') } });
  });

  it('reads all that a file says, for so many at once', async () => {
    using checker = createChecker({ clock: systemClock });
    const path = file('whole.gguf', gguf());
    const asked = await Promise.allSettled([1, 2, 3, 4, 5].map(() => checker.wholeFacts(path)));
    expect(asked.map(({ status }) => status)).toEqual([...Array<string>(4).fill('fulfilled'), 'rejected']);
    expect(asked[4]).toMatchObject({ reason: { outcome: 'queue_full' } });
    expect(JSON.parse(await checker.wholeFacts(path))).toMatchObject({ 'tokenizer.ggml.tokens': ['a', 'b', 'ü'] });
    await expect(checker.wholeFacts(join(folder, 'nothing'))).rejects.toThrow('ENOENT');
  });

  it.each(['killer', 'hog'])('goes on with a new process after a %s', { timeout: 60_000 }, async (name) => {
    using checker = createChecker({ clock: systemClock, script: fragile() });
    const before = await checker.check('one');
    await expect(checker.check(name)).rejects.toThrow(/the process that checked it ended/);
    const [after, same] = await Promise.all([checker.check('two'), checker.check('three')]);
    expect(after.digest).not.toBe(before.digest);
    expect(same.digest).toBe(after.digest);
  });

  it('gives up a file that takes too long, and ends its process when there is nothing to do', async () => {
    const clock = virtualClock();
    using checker = createChecker({ clock, script: fragile() });
    const { digest } = await checker.check('one');
    const stuck = checker.check('maze');
    const gaveUp = expect(stuck).rejects.toThrow(/more than 30 s/);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await clock.advance(30_000);
    await gaveUp;
    const { digest: next } = await checker.check('two');
    expect(next).not.toBe(digest);
    await clock.advance(2_000);
    while (lives(Number(next))) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(lives(Number(digest))).toBe(false);
  });
});

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
