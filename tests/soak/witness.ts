// What the witness in the workers wrote: which tries were started, when, and how many ran at once.
import { readFile } from 'node:fs/promises';

interface Start {
  atMs: number;
  pid: number;
}

export interface Testimony {
  /** Most generations that ever ran at once in one worker. */
  runningMax: number;
  /** By nonce, in the order of time. */
  starts: Map<string, Start[]>;
}

export async function readWitness(file: string): Promise<Testimony> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  const testimony: Testimony = { runningMax: 0, starts: new Map() };
  for (const line of lines) {
    const [atMs, pid, what, nonce = '', running] = line.split(' ');
    testimony.runningMax = Math.max(testimony.runningMax, Number(running));
    if (what !== 'start') continue;
    const starts = testimony.starts.get(nonce) ?? [];
    testimony.starts.set(nonce, [...starts, { atMs: Number(atMs), pid: Number(pid) }]);
  }
  return testimony;
}
