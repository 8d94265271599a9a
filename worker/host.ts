// What this machine tells of its processors and memory, and of single processes. Empty where it does not tell.
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';

export interface HostReading {
  cpus: number;
  /** Seconds since the start of the machine in which its processors worked, over all of them. */
  cpuBusyS: number;
  memoryBytes: number;
  memoryFreeBytes: number;
}

export function readHost(): HostReading {
  const busyMs = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  const limit = process.constrainedMemory();
  return {
    cpus: availableParallelism(),
    cpuBusyS: busyMs / 1_000,
    memoryBytes: limit > 0 ? Math.min(limit, totalmem()) : totalmem(),
    memoryFreeBytes: process.availableMemory(),
  };
}

export interface ProcessReading {
  cpuS: number;
  residentBytes: number;
}

/** The kernel counts a process's time in these units, whatever the processor. */
const ticksPerS = 100;

/** `null` when there is no such process, or no `/proc`. */
export async function readProcess(pid: number): Promise<ProcessReading | null> {
  const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8');
  try {
    return parseProcess(await read('stat'), await read('status'));
  } catch {
    return null;
  }
}

/** The name in `stat` may hold spaces and brackets: what counts stands behind its last one. Pure. */
export function parseProcess(stat: string, status: string): ProcessReading | null {
  const after = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system] = [Number(after[11]), Number(after[12])];
  const kilobytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  if (![user, system, kilobytes].every(Number.isFinite)) return null;
  return { cpuS: (user + system) / ticksPerS, residentBytes: kilobytes * 1_024 };
}
