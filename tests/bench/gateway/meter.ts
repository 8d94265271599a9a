// Meters: processor time and memory of processes, and how much of the machine somebody else used meanwhile.
import { readFileSync, readdirSync } from 'node:fs';
import { loadavg } from 'node:os';

const pageBytes = 4_096;
/** Ticks of /proc/PID/stat in a second: fixed at 100 on every Linux that Node runs on. */
const ticksPerS = 100;

/** Nanoseconds on a processor, of a process with all its threads and of its children (nginx works in a child). */
export function cpuNs(pid: number): number {
  const tasks = list(`/proc/${pid}/task`);
  const own = tasks.reduce((sum, task) => sum + Number(text(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0]), 0);
  return childrenOf(pid).reduce((sum, child) => sum + cpuNs(child), own);
}

/** Resident bytes of a process and of its children. */
export function residentBytes(pid: number): number {
  const pages = Number(text(`/proc/${pid}/statm`).split(' ')[1] ?? 0);
  return childrenOf(pid).reduce((sum, child) => sum + residentBytes(child), pages * pageBytes);
}

function childrenOf(pid: number): number[] {
  const tasks = list(`/proc/${pid}/task`);
  return tasks.flatMap((task) =>
    text(`/proc/${pid}/task/${task}/children`).trim().split(' ').filter(Boolean).map(Number),
  );
}

export interface Noise {
  /** Processor time of everybody else, in percent of one processor. */
  foreignPct: number;
  /** Time that the hypervisor gave to others, in percent of one processor. */
  stealPct: number;
  load1: number;
}

/** Begins to watch what others use; the result ends it and tells. */
export function watchOthers(): () => Noise {
  const startMs = performance.now();
  const foreign = foreignTicks();
  const steal = stealTicks();
  return () => {
    const ticks = ((performance.now() - startMs) / 1_000) * ticksPerS;
    return {
      foreignPct: round((100 * (foreignTicks() - foreign)) / ticks),
      stealPct: round((100 * (stealTicks() - steal)) / ticks),
      load1: loadavg()[0] ?? 0,
    };
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/**
 * Ticks of all processes that are neither ours nor the kernel's, their ended children included: what a process used
 * passes to its parent when it ends, so the sum grows by exactly what was used in between.
 */
function foreignTicks(): number {
  const processes = list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap(processOf);
  const parents = new Map(processes.map(({ pid, parent }) => [pid, parent]));
  const ours = (pid: number): boolean => pid === process.pid || (pid > 1 && ours(parents.get(pid) ?? 0));
  const kernel = 2;
  const foreign = processes.filter(({ pid, parent }) => pid !== kernel && parent !== kernel && !ours(pid));
  return foreign.reduce((sum, { ticks }) => sum + ticks, 0);
}

function processOf(name: string): { pid: number; parent: number; ticks: number }[] {
  const stat = text(`/proc/${name}/stat`);
  // The name stands in parentheses and may hold anything: fields are counted from behind it (proc_pid_stat(5)).
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [, parent] = fields;
  if (parent === undefined) return [];
  return [{ pid: Number(name), parent, ticks: fields.slice(11, 15).reduce((sum, it) => sum + it, 0) }];
}

function stealTicks(): number {
  return Number(text('/proc/stat').split('\n', 1)[0]?.trim().split(/ +/)[8] ?? 0);
}

/** Empty when the process has just ended. */
function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
