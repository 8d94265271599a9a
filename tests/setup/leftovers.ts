// Each run has a temporary folder of its own, and fails when a process or a file is left at its end, which it names.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '@berth/shared/log.ts';
import { openPromptFolder } from '../../worker/prompt-folder.ts';
import { eventually } from '../e2e/eventually.ts';

/** Who has been told to leave may still be about it. */
const withinMs = 10_000;
/** What belongs to the run as a whole: Node's cache of compiled modules, and the state of gateways that nobody looks at. */
const shared = /^(compiled|berth-states-\d+)$/;

export default function setup(): () => Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'berth-tests-'));
  // The last: until then the processes that run tests may write to Node's cache.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  process.env['TMPDIR'] = folder; // of all that the run starts
  process.env['NODE_COMPILE_CACHE'] = join(folder, 'compiled'); // gateways, workers and engines start in two thirds of the time
  return async () => {
    const files = () => readdirSync(folder).filter((name) => !shared.test(name));
    const left = () => [...processesOf(folder).map(({ told }) => told), ...files()];
    await eventually('nothing is left', () => left().length === 0, { withinMs, lookEveryMs: 50 }).catch(
      () => undefined,
    );
    const found = left();
    for (const { pid } of processesOf(folder)) process.kill(pid, 'SIGKILL');
    // Of workers that a test has killed: the next one to start would clear them.
    await openPromptFolder({ places: ['/dev/shm'], bytesMax: 0, memoryFreeBytes: 0, log: silentLog });
    if (found.length > 0) throw new Error(`the tests have left behind:\n${found.join('\n')}`);
  };
}

/** Processes that were started with this temporary folder, but for the ones that run tests (Linux; elsewhere none). */
function processesOf(folder: string): { pid: number; told: string }[] {
  const pids = process.platform === 'linux' ? readdirSync('/proc').filter((name) => /^\d+$/.test(name)) : [];
  return pids.flatMap((pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`TMPDIR=${folder}`)) return [];
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      const [, parent] = /\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
      return Number(parent) === process.pid ? [] : [{ pid: Number(pid), told: `process ${pid}: ${command}` }];
    } catch {
      return []; // it has ended meanwhile, or is another user's
    }
  });
}
