// Requests by wrk, from Debian's package: as many requests as a number of connections can carry, one after the other on each.
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fetchDebianPackage } from '../../tools/debian.ts';
import { apiKey, chatBody, path } from './load.ts';

interface WrkReport {
  requests: number;
  durationUs: number;
  /** Connections that broke, timeouts, and replies that were no success. */
  failed: number;
  p50Us: number;
  p99Us: number;
}

export type Wrk = (port: number, connections: number, seconds: number) => Promise<WrkReport>;

/** @param folder where the request's body is kept meanwhile */
export async function prepareWrk(folder: string): Promise<Wrk> {
  const { root, env } = await fetchDebianPackage(['wrk']);
  const bodyPath = join(folder, 'body.json');
  await writeFile(bodyPath, chatBody(false));
  const script = join(import.meta.dirname, 'post.lua');
  return async (port, connections, seconds) => {
    const { stdout } = await promisify(execFile)(
      join(root, 'usr/bin/wrk'),
      [`-t1`, `-c${connections}`, `-d${seconds}s`, '-s', script, `http://127.0.0.1:${port}${path}`],
      { env: { ...env, BENCH_BODY: bodyPath, BENCH_KEY: apiKey }, timeout: (seconds + 20) * 1_000 },
    );
    const line = stdout.split('\n').find((it) => it.startsWith('{'));
    if (line === undefined) throw new Error(`wrk reported nothing:\n${stdout}`);
    return JSON.parse(line) as WrkReport;
  };
}
