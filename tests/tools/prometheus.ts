// A Prometheus of a test's own: found on the system or taken from Debian's package, on a free port, with its folder.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fetchDebianPackage } from './debian.ts';
import { freePort } from './port.ts';

interface Sample {
  metric: Record<string, string>;
  value: number;
}

export interface Prometheus extends AsyncDisposable {
  /** The instant value of an expression, in the order that it gives. @throws Error with what Prometheus says */
  query(expression: string): Promise<Sample[]>;
  /** What it answers at a path of its API. */
  get(path: string): Promise<unknown>;
}

const startMsMax = 15_000;

let found: Promise<NodeJS.ProcessEnv> | undefined;

/** An environment whose PATH has `prometheus` and `promtool`; fetching them takes a while, once. */
export async function programs(): Promise<NodeJS.ProcessEnv> {
  found ??= onPath(process.env, ['prometheus', 'promtool']).then(async (there) =>
    there ? process.env : (await fetchDebianPackage(['prometheus'])).env,
  );
  return found;
}

async function onPath(env: NodeJS.ProcessEnv, names: readonly string[]): Promise<boolean> {
  const folders = (env['PATH'] ?? '').split(delimiter);
  const has = async (name: string) => {
    const tries = folders.map((folder) => access(join(folder, name), constants.X_OK));
    return (await Promise.allSettled(tries)).some(({ status }) => status === 'fulfilled');
  };
  return (await Promise.all(names.map(has))).every(Boolean);
}

/** Runs promtool. @param input what it reads @throws Error with what it said when it is not content */
export async function promtool(args: readonly string[], cwd: string, input = ''): Promise<void> {
  const child = spawn('promtool', args, { cwd, env: await programs(), stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += String(text)));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`promtool is not content (${code}): ${said}`);
}

/** @param files by name, in the folder of the configuration, `prometheus.yml` among them */
export async function startPrometheus(files: Readonly<Record<string, string>>): Promise<Prometheus> {
  const env = await programs();
  const folder = await mkdtemp(join(tmpdir(), 'berth-prometheus-'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const port = await freePort();
  const args = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`];
  const child = spawn('prometheus', [...args, `--web.listen-address=127.0.0.1:${port}`, '--log.level=warn'], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4_000)));
  const endWithUs = () => child.kill('SIGKILL');
  process.once('exit', endWithUs);
  const stop = async () => {
    process.off('exit', endWithUs);
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await rm(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  const get = async (path: string): Promise<unknown> => (await fetch(`${url}${path}`)).json();
  try {
    await ready(url, () => child.exitCode !== null);
  } catch (error) {
    await stop();
    throw new Error(`Prometheus did not start: ${said}`, { cause: error });
  }
  return {
    get,
    async query(expression) {
      const reply = (await get(`/api/v1/query?query=${encodeURIComponent(expression)}`)) as Answer;
      if (reply.status !== 'success') throw new Error(`${expression}: ${reply.error}`);
      const { resultType, result } = reply.data;
      if (resultType === 'scalar') return [{ metric: {}, value: Number((result as unknown as [number, string])[1]) }];
      return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
    },
    [Symbol.asyncDispose]: stop,
  };
}

interface Answer {
  status: string;
  error?: string;
  data: { resultType: string; result: { metric: Record<string, string>; value: [number, string] }[] };
}

async function ready(url: string, ended: () => boolean): Promise<void> {
  const untilMs = Date.now() + startMsMax;
  for (;;) {
    const ok = await fetch(`${url}/-/ready`).then(
      (reply) => reply.ok,
      () => false,
    );
    if (ok) return;
    if (ended() || Date.now() > untilMs) throw new Error('it is not ready');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
