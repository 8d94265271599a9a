// A copy of the repository in which one fault at a time is planted, to see whether the test that should notice does.
import { execFileSync, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** A fault as a patch, whose head says what it breaks and who kills it. */
export interface Mutant {
  name: string;
  patch: string;
  why: string;
  /** The test file, and the title in it; `…` stands for anything. */
  file: string;
  title: string;
}

/**
 * `unmatched`: there is no such test. `broken`: the mutant is no program, so its failure says nothing. `unfit`: the
 * program has changed since the patch was made.
 */
type Fate = 'killed' | 'survived' | 'unmatched' | 'broken' | 'unfit';

export interface Copy extends AsyncDisposable {
  /** What becomes of the mutant. */
  judge(mutant: Mutant): Promise<{ fate: Fate; tookMs: number; output: string }>;
  /** Runs the mutant's test without the mutant: it must pass, or a failure proves nothing. */
  passes(mutant: Mutant): Promise<boolean>;
}

/** Longest time that a mutant may take; one that hangs is noticed as well. */
const withinMs = 120_000;

/** All mutants, by name. @throws Error when a head is not of the form that `readHead` expects */
export async function readMutants(): Promise<Mutant[]> {
  const names = (await readdir(import.meta.dirname)).filter((name) => name.endsWith('.patch')).toSorted();
  return Promise.all(
    names.map(async (name) => {
      const patch = join(import.meta.dirname, name);
      return { name: name.replace('.patch', ''), patch, ...readHead(name, await readFile(patch, 'utf8')) };
    }),
  );
}

function readHead(name: string, text: string): Pick<Mutant, 'why' | 'file' | 'title'> {
  const [, why, file, title] = /^# (.+)\n# killed by (\S+) > (.+)\n/.exec(text) ?? [];
  if (why === undefined || file === undefined || title === undefined) throw new Error(`${name} says not who kills it`);
  return { why, file, title };
}

/** Does the patch still fit to the working tree? */
export function applies({ patch }: Mutant): boolean {
  try {
    execFileSync('git', ['apply', '--check', patch], { cwd: root, stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
}

/** Copies what git knows of, with the packages of the original; the workspaces are the copy's own. */
export async function openCopy(): Promise<Copy> {
  const dir = await mkdtemp(join(tmpdir(), 'berth-mutants-'));
  for (const path of trackedFiles()) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await cp(join(root, path), join(dir, path));
  }
  await linkPackages(dir);
  const git = (...args: string[]) => execFileSync('git', ['apply', ...args], { cwd: dir, stdio: 'pipe' });
  return {
    async judge(mutant) {
      const beganMs = performance.now();
      try {
        git(mutant.patch);
      } catch {
        return { fate: 'unfit', tookMs: 0, output: '' };
      }
      const { report, timedOut, output } = await runTest(dir, mutant);
      git('-R', mutant.patch);
      return { fate: timedOut ? 'killed' : fateOf(report), tookMs: performance.now() - beganMs, output };
    },
    async passes(mutant) {
      const { report } = await runTest(dir, mutant);
      return fateOf(report) === 'survived';
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

function trackedFiles(): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const paths = execFileSync('git', args, { cwd: root, encoding: 'utf8' }).split('\0');
  return paths.filter((path) => path !== '' && existsSync(join(root, path)));
}

async function linkPackages(dir: string): Promise<void> {
  const packages = join(dir, 'node_modules');
  await mkdir(join(packages, '@berth'), { recursive: true });
  for (const name of await readdir(join(root, 'node_modules'))) {
    if (name !== '@berth' && name !== '.vite') await symlink(join(root, 'node_modules', name), join(packages, name));
  }
  for (const name of ['gateway', 'worker', 'shared']) await symlink(`../../${name}`, join(packages, '@berth', name));
  // What the tests have fetched: a Redis, where the system has none.
  if (existsSync(join(root, '.cache'))) await symlink(join(root, '.cache'), join(dir, '.cache'));
}

interface Report {
  numPassedTests: number;
  numFailedTests: number;
}

interface Ran {
  report: Report | null;
  timedOut: boolean;
  output: string;
}

function fateOf(report: Report | null): Fate {
  if (report === null) return 'broken';
  if (report.numFailedTests > 0) return 'killed';
  return report.numPassedTests > 0 ? 'survived' : 'unmatched';
}

/** Just this test, in a process of its own; a simulation gets less time than in a run of all tests. */
async function runTest(dir: string, { file, title }: Mutant): Promise<Ran> {
  const pattern = title.split('…').map(escape).join('.*');
  const out = join(dir, 'report.json');
  const vitest = join(dir, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', file, '-t', pattern, '--reporter=json', `--outputFile=${out}`];
  const { PATH = '', HOME = '' } = process.env;
  // What it leaves when it has to be killed goes with the copy.
  const env = { PATH, HOME, TMPDIR: dir, SIM_SECONDS: '30' };
  const child = spawn(process.execPath, args, { cwd: dir, env, detached: true });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    // Its whole group: what it has started would go on.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, withinMs);
  await new Promise((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  const text = await readFile(out, 'utf8').catch(() => null);
  await rm(out, { force: true });
  return { report: text === null ? null : (JSON.parse(text) as Report), timedOut, output };
}

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
