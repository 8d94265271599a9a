// The gateway process: the only place that knows the environment, the clock and the signals.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { poolSecret } from '@berth/shared/auth.ts';
import { systemClock } from '@berth/shared/clock.ts';
import { readSettings } from '@berth/shared/config.ts';
import { createRedisLedger } from '@berth/shared/ledger/redis.ts';
import type { Ledger } from '@berth/shared/ledger/ledger.ts';
import { createLog, formatFor } from '@berth/shared/log.ts';
import type { Log } from '@berth/shared/log.ts';
import { batchedWriter, refuseToStart, toldToLeave } from '@berth/shared/process.ts';
import { systemRandom } from '@berth/shared/random.ts';
import { tlsFiles } from '@berth/shared/tls.ts';
import { connectRedis } from '@berth/shared/redis.ts';
import type { Redis } from '@berth/shared/redis.ts';
import manifest from './package.json' with { type: 'json' };
import { startGateway } from './gateway.ts';
import {
  allowNetworks as networkDoor,
  createAuthenticate,
  createHolder,
  isLoopback,
  keptKey,
  openDoor,
} from './keys.ts';
import type { Authenticate } from './keys.ts';
import { checkQuestion, isQuestionKept } from './explain.ts';
import { createFallbackLedger } from './ledger/fallback.ts';
import { createMemoryLedger } from './ledger/memory.ts';
import { createKeyBook } from './policy/book.ts';
import type { KeyBook } from './policy/book.ts';
import { readKey } from './policy/key.ts';
import { openRegisters } from './policy/registers.ts';
import { checkEnded } from './policy/sessions.ts';
import type { Holder } from './policy/sessions.ts';
import { nodeName } from './policy/file.ts';
import { checkRow, createUsage, isKept } from './policy/usage.ts';
import { checkMark, isMarkKept } from './poison.ts';
import { checkStanding, isStandingKept } from './standing.ts';
import { gatewaySettings } from './settings.ts';
import type { GatewaySettings } from './settings.ts';

async function main(): Promise<void> {
  const settings = readSettings(gatewaySettings, process.env);
  const log = createLog({
    source: 'gateway',
    level: settings.logLevel,
    format: formatFor(settings.logFormat, process.stdout.isTTY, Boolean(process.env['NO_COLOR'])),
    clock: systemClock,
    write: batchedWriter(process.stdout),
  });
  const tls = tlsFiles(settings.tlsCert, settings.tlsKey);
  const { ledger, degraded, secret, redis } = await openLedger(settings, log);
  const { keys, used, marks, ended, standing, questions, node } = await openPolicy(settings, redis, log);
  const book = createKeyBook({ registers: keys, clock: systemClock });
  const usage = createUsage({ registers: used, clock: systemClock, node });
  const { authenticate, holder, keyless, key } = await chooseKeys(settings, book, log);
  const gateway = await startGateway({
    ledger,
    degraded,
    alone: settings.redisUrl === null,
    secret,
    authenticate,
    holder,
    ended,
    keyless,
    tls,
    book,
    usage,
    marks,
    standing,
    questions,
    settings,
    clock: systemClock,
    random: systemRandom,
    log,
    version: manifest.version,
  }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') throw error;
    throw new Error(
      `port ${settings.port} on ${settings.host} is in use by another program: stop it, or set GATEWAY_PORT to another port (0 = any free one)`,
    );
  });

  const url = `${tls === null ? 'http' : 'https'}://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${gateway.address.port}`;
  log.info('listening', { url });
  // Heard from here on: a signal that comes right after `ready` must drain too.
  const leaving = toldToLeave();
  process.send?.({ ready: true, url, ...key });

  const why = await leaving;
  log.info('draining', { why });
  await gateway.drain(settings.drainTimeoutMs, settings.drainNoticeMs);
  await Promise.all([keys, used, marks, ended, standing, questions].map((each) => each[Symbol.asyncDispose]()));
  process.exit(0);
}

/** Open on loopback until there are keys, a key beyond it; open beyond it only when told so, with a warning each time. */
async function chooseKeys(
  { auth, apiKeys, host, stateDir, allowNetworks }: GatewaySettings,
  book: KeyBook,
  log: Log,
): Promise<{ authenticate: Authenticate; holder: Holder; keyless: boolean; key?: { key?: string; keyPath?: string } }> {
  if (auth === 'off') {
    if (!isLoopback(host)) log.warn('AUTH=off: everyone who reaches this address may use it', { host });
    return { authenticate: openDoor, holder: () => null, keyless: true };
  }
  const open = auth === 'auto' && apiKeys === null && isLoopback(host);
  const network = allowNetworks === null ? undefined : networkDoor(allowNetworks);
  const door = { book, now: () => systemClock.now(), open, ...(network && { network }) };
  const keyless = open || network !== undefined;
  const of = (secrets: readonly string[]) => ({
    authenticate: createAuthenticate(secrets, door),
    holder: createHolder(secrets, door),
    keyless,
  });
  if (open) return of([]);
  if (apiKeys !== null) return of(apiKeys);
  const { key, path } = await keptKey(stateDir);
  log.info('a key is needed', { path });
  return { ...of([key]), key: { key, keyPath: path } };
}

/** How often a gateway looks for what others changed: keys, and usage, of which there is more. */
const keysEveryMs = 1_000;
const usageEveryMs = 5_000;

async function openPolicy({ stateDir, pool, host, port }: GatewaySettings, carrier: Redis | null, log: Log) {
  const common = { carrier, clock: systemClock, random: systemRandom, log };
  const [keys, used, marks, ended, standing, questions, folder] = await Promise.all([
    openRegisters({
      ...common,
      path: join(stateDir, 'keys.json'),
      prefix: `b:{${pool}}:policy:keys`,
      everyMs: keysEveryMs,
      check: readKey,
    }),
    openRegisters({
      ...common,
      path: join(stateDir, 'usage.json'),
      prefix: `b:{${pool}}:policy:usage`,
      everyMs: usageEveryMs,
      check: checkRow,
      isKept: (name) => isKept(name, systemClock.now()),
    }),
    openRegisters({
      ...common,
      path: null,
      prefix: `b:{${pool}}:policy:marks`,
      everyMs: keysEveryMs,
      check: checkMark,
      isKept: (_name, mark) => isMarkKept(mark, systemClock.now()),
    }),
    openRegisters({
      ...common,
      path: null,
      prefix: `b:{${pool}}:policy:ended`,
      everyMs: keysEveryMs,
      check: checkEnded,
      isKept: (_id, untilMs) => Number(untilMs) > systemClock.now(),
    }),
    openRegisters({
      ...common,
      path: join(stateDir, 'standing.json'),
      prefix: `b:{${pool}}:policy:standing`,
      everyMs: keysEveryMs,
      check: checkStanding,
      isKept: (_name, value) => isStandingKept(value, systemClock.now()),
    }),
    openRegisters({
      ...common,
      path: null,
      prefix: `b:{${pool}}:policy:questions`,
      everyMs: keysEveryMs,
      check: checkQuestion,
      isKept: (_id, value) => isQuestionKept(value, systemClock.now()),
    }),
    nodeName(join(stateDir, 'node')),
  ]);
  // Gateways of one folder count apart; no two listen at one address at a time.
  return {
    keys,
    used,
    marks,
    ended,
    standing,
    questions,
    node: `${folder}-${host}:${port === 0 ? systemRandom.id() : port}`,
  };
}

/** Redis when there is one, with the pool's secret in it unless it was given; else this process's own memory. */
async function openLedger(
  { redisUrl, pool, clusterSecret }: GatewaySettings,
  log: Log,
): Promise<{ ledger: Ledger; degraded: () => boolean; secret: string; redis: Redis | null }> {
  const fresh = () => randomBytes(32).toString('hex');
  if (redisUrl === null) {
    const ledger = createMemoryLedger({ clock: systemClock });
    return { ledger, degraded: () => false, secret: clusterSecret ?? fresh(), redis: null };
  }
  const redis = await connectRedis({ url: redisUrl, pool, log });
  const shared = await createRedisLedger({ redis, pool });
  const secret = clusterSecret ?? (await poolSecret({ store: redis, pool, fresh, clock: systemClock, log }));
  const ledger = createFallbackLedger({ shared, clock: systemClock, log });
  return { ledger, degraded: () => ledger.degraded, secret, redis };
}

main().catch(refuseToStart);
