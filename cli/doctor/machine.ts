// Whether this machine gives a gateway or a worker what it needs: open files, ports, room for prompts.
import { once } from 'node:events';
import { readFile, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { good, problem, size, warning } from './finding.ts';
import type { Finding } from './finding.ts';

/** Each stream takes two connections, and models, engines and logs take some. */
const openFilesMin = 4_096;

export async function checkOpenFiles(): Promise<Finding[]> {
  const text = await readFile('/proc/self/limits', 'utf8').catch(() => null);
  return text === null ? [] : [judgeOpenFiles(text)];
}

/** @param limits as in /proc/self/limits; Node raises the soft limit to the hard one by itself */
export function judgeOpenFiles(limits: string): Finding {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? 'unknown';
  const found = `${hard} open files are allowed`;
  if (hard === 'unlimited' || Number(hard) >= openFilesMin) return good('file limit', found);
  const advice = `raise it to ${openFilesMin} or more (ulimit -n, LimitNOFILE= of the service): each stream takes two`;
  return warning('file limit', found, advice);
}

export interface Port {
  /** The setting that names it. */
  name: string;
  host: string;
  port: number;
}

/** @param ours whether what listens there is a Berth */
export async function checkPort({ name, host, port }: Port, ours: boolean): Promise<Finding> {
  if (port === 0) return good(name, 'any free port');
  const fault = await listenFault(host, port);
  if (fault === null) return good(name, `port ${port} on ${host} is free`);
  if (fault === 'EADDRINUSE' && ours) return good(name, `a gateway listens on port ${port}`);
  if (fault === 'EADDRINUSE') {
    const advice = `stop the other program, or choose another port with ${name}`;
    return problem(name, `port ${port} on ${host} is in use by another program`, advice);
  }
  if (fault === 'EACCES') return problem(name, `port ${port} needs more rights`, 'choose a port above 1023');
  return problem(name, `this machine cannot listen on ${host} (${fault})`, 'use an address that it has, or 0.0.0.0');
}

/** The system's word for why nobody can listen there; `null` when one can. */
async function listenFault(host: string, port: number): Promise<string | null> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  } finally {
    if (server.listening) server.close();
  }
}

/** Prompts that lose their slot are kept in memory-backed files. */
export async function checkPromptRoom(wantedBytes: number): Promise<Finding[]> {
  const room = await statfs('/dev/shm').catch(() => null);
  if (room === null || wantedBytes === 0) return [];
  const free = room.bavail * room.bsize;
  const found = `${size(free)} free in /dev/shm, PROMPT_CACHE_BYTES is ${size(wantedBytes)}`;
  if (free >= wantedBytes) return [good('prompt cache', found)];
  const advice = 'give more (--shm-size of the container) or set PROMPT_CACHE_BYTES lower: prompts go to the disk now';
  return [warning('prompt cache', found, advice)];
}
