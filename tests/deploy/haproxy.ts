// A real HAProxy with the shipped configuration, in front of gateways of a test.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { aFolder, processes } from '../e2e/berth.ts';
import { eventually } from '../e2e/eventually.ts';
import { fetchDebianPackage } from '../tools/debian.ts';
import { freePort } from '../tools/port.ts';
import { deployed } from './checkers.ts';

export interface Haproxy extends AsyncDisposable {
  url: string;
  /** Takes the configuration anew; running streams stay with the process that has them. */
  reload(): Promise<void>;
  /** Gateways that take requests, as its health checks see it. */
  ready(): Promise<number>;
}

const program = async () => {
  const { root, env } = await fetchDebianPackage(['haproxy']);
  return { path: join(root, 'usr/sbin/haproxy'), env };
};

/** Fetching it takes a while, once. */
export const haproxyProgram = program;

/** @returns what `haproxy -c` says of a configuration: '' = nothing but that it is valid */
export async function checkHaproxy(text: string): Promise<string> {
  await using folder = await aFolder();
  const { path, env } = await program();
  const file = join(folder.path, 'haproxy.cfg');
  await writeFile(file, text);
  const child = spawn(path, ['-c', '-q', '-f', file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => (said += String(piece)));
  const [code] = (await once(child, 'close')) as [number | null];
  return code === 0 ? said : `${said} (exit code ${code})`;
}

interface Configuration {
  text: string;
  port: number;
  metricsUrl: string;
}

/** The shipped configuration with addresses of a test. */
export async function haproxyFor(gateways: readonly string[], speed = 1): Promise<Configuration> {
  const [port, metrics] = [await freePort(), await freePort()];
  const text = deployed('haproxy/haproxy.cfg')
    // A test has neither so many connections nor the file descriptors for them.
    .replace('maxconn 20000', 'maxconn 500')
    .replace('bind :8080', `bind 127.0.0.1:${port}`)
    .replace('bind :8404', `bind 127.0.0.1:${metrics}`)
    .replaceAll('check inter 1s fastinter 200ms', `check inter ${1_000 / speed}ms fastinter ${200 / speed}ms`)
    .replaceAll(/gateway-([12]):8080/g, (_, at: string) => new URL(gateways[Number(at) - 1] ?? '').host);
  return { text, port, metricsUrl: `http://127.0.0.1:${metrics}/metrics` };
}

interface Running extends AsyncDisposable {
  child: ChildProcess;
  said: () => string;
}

async function launch(text: string): Promise<Running> {
  const folder = await aFolder();
  const file = join(folder.path, 'haproxy.cfg');
  await writeFile(file, text);
  const { path, env } = await program();
  const child = spawn(path, ['-W', '-db', '-f', file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => (said += String(piece)));
  const endWithUs = () => child.kill('SIGKILL');
  process.once('exit', endWithUs);
  return {
    child,
    said: () => said,
    async [Symbol.asyncDispose]() {
      process.off('exit', endWithUs);
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        await ended;
      }
      // After a reload the process before it stays for its last connections, without a parent of ours.
      const left = (await processes()).filter(({ command }) => command.includes(file));
      for (const { pid } of left) process.kill(pid, 'SIGKILL');
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** The door for other machines in front of a Redis. @param tls folder with `redis.pem` */
export async function startDoor(tls: string, redis: string): Promise<{ port: number } & AsyncDisposable> {
  const [port, health] = [await freePort(), await freePort()];
  const text = deployed('haproxy/redis-door.cfg')
    .replace('bind :6380', `bind 127.0.0.1:${port}`)
    .replace('bind :8404', `bind 127.0.0.1:${health}`)
    .replace('/tls/redis.pem', join(tls, 'redis.pem'))
    .replace('redis:6379', redis);
  return { ...(await launch(text)), port };
}

/** @param speed by how much health is looked at more often than shipped */
export async function startHaproxy(gateways: readonly string[], speed = 1): Promise<Haproxy> {
  const { text, port, metricsUrl } = await haproxyFor(gateways, speed);
  const running = await launch(text);
  const { child, said } = running;
  const url = `http://127.0.0.1:${port}`;
  const loads = () => said().split('Loading success').length - 1;
  await eventually('HAProxy passes requests on', async () => {
    if (child.exitCode !== null) throw new Error(`HAProxy ended: ${said()}`);
    return fetch(`${url}/readyz`).then(
      ({ status }) => status === 200,
      () => false,
    );
  });
  return {
    url,
    async reload() {
      const before = loads();
      child.kill('SIGUSR2');
      await eventually('HAProxy has reloaded', () => loads() > before);
    },
    async ready() {
      const text = await (await fetch(metricsUrl)).text();
      return text.match(/^haproxy_server_check_status\{proxy="gateways",.*state="L7OK"\} 1/gm)?.length ?? 0;
    },
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}
