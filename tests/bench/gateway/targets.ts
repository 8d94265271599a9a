// What is measured: Berth's gateway, and beside it the ways to do without one.
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import manifest from '../../../package.json' with { type: 'json' };
import { fetchDebianPackage } from '../../tools/debian.ts';
import { startRedis } from '../../tools/redis.ts';
import { freePort, gatewayCpu, harnessCpu, launch } from './launch.ts';
import type { Launched } from './launch.ts';
import { apiKey } from './load.ts';

export const targetNames = ['direct', 'haproxy', 'nginx', 'http-proxy-3', 'berth'] as const;
export type TargetName = (typeof targetNames)[number];

/** What every target stands in front of, and how it is reached through it. */
export interface Target extends AsyncDisposable {
  readonly name: TargetName;
  readonly port: number;
  /** The gateway's process; `null` when there is none. */
  readonly pid: number | null;
}

export interface PoolSize {
  workers: number;
  slots: number;
}

/** The fake workers and the Redis in which they announce themselves, both beside the load generator. */
export interface Stage extends AsyncDisposable {
  readonly redisUrl: string;
  readonly redisPid: number;
  readonly workerPid: number;
  readonly workerPorts: readonly number[];
  /** Configurations and logs; removed at the end. */
  readonly folder: string;
  /** Sets the chunks a second over all open streams. */
  pace(chunksPerS: number): void;
}

const poolName = 'bench';

export async function openStage({ workers, slots }: PoolSize): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const redis = stack.use(await startRedis());
  const worker = stack.use(
    await node(import.meta.resolve('./fake-worker.ts'), harnessCpu, {
      FAKE_WORKERS: String(workers),
      FAKE_SLOTS: String(slots),
      REDIS_URL: redis.url,
      POOL: poolName,
    }),
  );
  const owned = stack.move();
  return {
    redisUrl: redis.url,
    redisPid: redis.pid,
    workerPid: worker.pid,
    workerPorts: worker.said['ports'] as number[],
    folder,
    pace: (chunksPerS) => void worker.child.send({ chunksPerS }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A Node program of this repository, which tells over IPC that it is ready. */
function node(
  url: string,
  cpu: number,
  env: Record<string, string>,
  more: { flags?: readonly string[]; output?: number } = {},
): Promise<Launched> {
  return launch({
    program: process.execPath,
    args: [...(more.flags ?? []), fileURLToPath(url)],
    cpu,
    env: { PATH: process.env['PATH'], ...env },
    ...(more.output !== undefined && { output: more.output }),
    ready: 'message',
  });
}

export interface TargetOptions {
  /** Where Berth's gateway leaves a processor profile; none unless given. */
  profileFolder?: string | undefined;
}

export async function openTarget(name: TargetName, stage: Stage, options: TargetOptions = {}): Promise<Target> {
  if (name === 'direct') return { name, port: stage.workerPorts[0] ?? 0, pid: null, async [Symbol.asyncDispose]() {} };
  if (name === 'berth') return berth(stage, options);
  if (name === 'nginx') return nginx(stage);
  if (name === 'haproxy') return haproxy(stage);
  const proxy = await node(import.meta.resolve('./http-proxy.ts'), gatewayCpu, {
    UPSTREAM_PORTS: stage.workerPorts.join(','),
  });
  return targetOf(name, proxy, Number(proxy.said['port']));
}

function targetOf(name: TargetName, launched: Launched, port: number): Target {
  return { name, port, pid: launched.pid, [Symbol.asyncDispose]: () => launched[Symbol.asyncDispose]() };
}

/** Everything on: the ledger in Redis, a key on every request, metrics, a log line for each request. */
async function berth(stage: Stage, { profileFolder }: TargetOptions): Promise<Target> {
  const log = await open(join(stage.folder, 'gateway.log'), 'a');
  try {
    const flags = [
      ...flagsOfGateway(),
      ...(profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`]),
    ];
    const settings = {
      GATEWAY_PORT: '0',
      AUTH: 'on',
      API_KEY: apiKey,
      REDIS_URL: stage.redisUrl,
      POOL: poolName,
      LOG_LEVEL: 'info',
    };
    const main = import.meta.resolve('../../../gateway/start.mjs');
    const gateway = await node(main, gatewayCpu, settings, { flags, output: log.fd });
    return targetOf('berth', gateway, Number(new URL(String(gateway.said['url'])).port));
  } finally {
    await log.close();
  }
}

/** Flags of Node's with which `npm run gateway` starts it. */
function flagsOfGateway(): string[] {
  const [, flags = ''] = /^node (.*)gateway\/start\.mjs$/.exec(manifest.scripts.gateway) ?? [];
  return flags.split(' ').filter((flag) => flag !== '');
}

async function nginx(stage: Stage): Promise<Target> {
  const { root, env } = await fetchDebianPackage(['nginx']);
  const port = await freePort();
  const folder = await mkdtemp(join(stage.folder, 'nginx-'));
  await writeFile(join(folder, 'nginx.conf'), nginxConfiguration(port, stage.workerPorts));
  const args = ['-p', folder, '-c', 'nginx.conf', '-e', 'error.log'];
  const launched = await launch({
    program: join(root, 'usr/sbin/nginx'),
    args,
    cpu: gatewayCpu,
    env,
    ready: { port },
  });
  return targetOf('nginx', launched, port);
}

/** One process, kept-alive connections both ways, no buffering of replies, no access log: nginx at its fastest. */
function nginxConfiguration(port: number, upstreamPorts: readonly number[]): string {
  return `daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
events { worker_connections 19000; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_body_buffer_size 16k;
  keepalive_requests 100000000;
  upstream workers {
${upstreamPorts.map((upstream) => `    server 127.0.0.1:${upstream};`).join('\n')}
    keepalive 1024;
    keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://workers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 300s;
    }
  }
}
`;
}

async function haproxy(stage: Stage): Promise<Target> {
  const { root, env } = await fetchDebianPackage(['haproxy']);
  const port = await freePort();
  const path = join(stage.folder, `haproxy-${port}.cfg`);
  await writeFile(path, haproxyConfiguration(port, stage.workerPorts));
  const args = ['-db', '-q', '-f', path];
  const launched = await launch({
    program: join(root, 'usr/sbin/haproxy'),
    args,
    cpu: gatewayCpu,
    env,
    ready: { port },
  });
  return targetOf('haproxy', launched, port);
}

/** One thread, kept-alive connections both ways, no log. */
function haproxyConfiguration(port: number, upstreamPorts: readonly number[]): string {
  return `global
  nbthread 1
  maxconn 9000
defaults
  mode http
  option http-keep-alive
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend in
  bind 127.0.0.1:${port} backlog 4096
  default_backend workers
backend workers
  balance roundrobin
${upstreamPorts.map((upstream, index) => `  server w${index + 1} 127.0.0.1:${upstream}`).join('\n')}
`;
}
