// On what it was measured: machine, versions, commit, and whether the machine was quiet.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { pinProgram } from './launch.ts';
import { fetchDebianPackage } from '../../tools/debian.ts';

export interface Facts {
  date: string;
  commit: string;
  /** True when files of the product differ from the commit. */
  changed: boolean;
  processor: string;
  processors: number;
  memoryGiB: number;
  kernel: string;
  /** Most files that a process may have open; a stream needs two in the gateway. */
  filesMax: number;
  versions: Record<string, string>;
  /** Load average of the last minute when the run began. */
  loadAtStart: number;
}

/** @throws Error that says what this machine lacks */
export function requireMachine(): void {
  if (process.platform !== 'linux') throw new Error('the benchmark reads /proc and pins processes: it needs Linux');
  if (cpus().length < 2) throw new Error('the benchmark needs two processors: one for the gateway, one for the rest');
  try {
    execFileSync(pinProgram, ['--version'], { stdio: 'ignore' });
  } catch {
    throw new Error('the benchmark needs taskset, which is in util-linux');
  }
}

export async function lookAround(): Promise<Facts> {
  const git = (...args: string[]) => said('git', ['-C', import.meta.dirname, ...args]);
  const changes = git('status', '--porcelain', '--', ':/gateway', ':/shared', ':/package-lock.json');
  return {
    date: new Date().toISOString(),
    commit: git('rev-parse', '--short=12', 'HEAD'),
    changed: changes !== '',
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    processors: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    filesMax: Number(said('sh', ['-c', 'ulimit -Hn']).replace('unlimited', '1000000')),
    versions: await versions(),
    loadAtStart: loadavg()[0] ?? 0,
  };
}

async function versions(): Promise<Record<string, string>> {
  const found = /\d+\.\d+[\w.]*/;
  const debian = async (name: string, program: string, argument: string) => {
    const { root, env } = await fetchDebianPackage([name]);
    return found.exec(said(join(root, program), [argument], env))?.[0] ?? 'unknown';
  };
  return {
    node: process.versions.node,
    undici: packageVersion('undici'),
    ioredis: packageVersion('ioredis'),
    'http-proxy-3': packageVersion('http-proxy-3'),
    nginx: await debian('nginx', 'usr/sbin/nginx', '-v'),
    haproxy: await debian('haproxy', 'usr/sbin/haproxy', '-v'),
    wrk: await debian('wrk', 'usr/bin/wrk', '-v'),
  };
}

function packageVersion(name: string): string {
  const path = join(import.meta.dirname, '../../../node_modules', name, 'package.json');
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}

/** What a program says, on either stream and whatever its exit status: `wrk -v` and `nginx -v` differ in both. */
function said(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): string {
  try {
    return execFileSync('sh', ['-c', 'exec "$0" "$@" 2>&1', program, ...args], { env, encoding: 'utf8' }).trim();
  } catch (error) {
    return ((error as { stdout?: string }).stdout ?? '').trim();
  }
}
