// The prompt cache's folder: where it is made, who may read it, and that dead workers leave nothing behind.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPromptFolder } from '../../worker/prompt-folder.ts';
import type { Log } from '@berth/shared/log.ts';

let place = '';
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'berth-place-'));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

const open = (more: Partial<Parameters<typeof openPromptFolder>[0]> = {}) => {
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  const opening = openPromptFolder({ places: [place], bytesMax: 4096, memoryFreeBytes: 2 ** 40, log, ...more });
  return { opening, lines };
};

describe('the folder of the prompt cache', () => {
  it('is for this user only', async () => {
    const opened = await open().opening;
    expect(dirname(opened!.folder)).toBe(place);
    expect(statSync(opened!.folder).mode & 0o777).toBe(0o700);
  });

  it('is made in the first place with room, else nowhere, and the log says what to do', async () => {
    expect(dirname((await open({ places: [join(place, 'missing'), place] }).opening)!.folder)).toBe(place);
    const { opening, lines } = open({ bytesMax: 2 ** 60 });
    expect(await opening).toBeNull();
    expect(lines.join()).toMatch(/lower PROMPT_CACHE_BYTES/);
  });

  it.runIf(existsSync('/dev/shm'))('takes no more than half of the free memory', async () => {
    const places = ['/dev/shm', place];
    const scarce = await open({ places, memoryFreeBytes: 8191 }).opening;
    const plenty = await open({ places, memoryFreeBytes: 8192 }).opening;
    expect([dirname(scarce!.folder), dirname(plenty!.folder)]).toEqual([place, '/dev/shm']);
    rmSync(plenty!.folder, { recursive: true });
  });

  it('is not made when the cache is off', async () => {
    expect(await open({ bytesMax: 0 }).opening).toBeNull();
  });

  it('clears those of workers that are gone, and no other', async () => {
    const dead = spawnSync('true').pid;
    const left = [`berth-prompts-${dead}-1-aaaaaa`, `berth-prompts-${process.pid}-1-aaaaaa`];
    for (const name of [...left, 'berth-prompts-of-mine']) mkdirSync(join(place, name));
    writeFileSync(join(place, left[0]!, 'x.kv'), 'x');
    const living = await open().opening;
    await open().opening;
    // The second has this process's number, but not its birth.
    for (const name of left)
      expect(existsSync(join(place, name))).toBe(process.platform !== 'linux' && name !== left[0]);
    expect(existsSync(join(place, 'berth-prompts-of-mine'))).toBe(true);
    expect(existsSync(living!.folder)).toBe(true);
  });
});
