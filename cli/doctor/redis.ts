// Whether Redis can carry the ledger, how fast it answers, and whether its clock is ours.
import type { Clock } from '@berth/shared/clock.ts';
import { RedisUnfit } from '@berth/shared/redis-errors.ts';
import { connectRedis } from '@berth/shared/redis.ts';
import type { Redis } from '@berth/shared/redis.ts';
import { judgeClock } from './clock.ts';
import { good, problem, warning } from './finding.ts';
import type { Finding } from './finding.ts';

const subject = 'Redis';
/** A slot is given in one round trip: more than this is felt by every request. */
const slowMs = 10;
const pings = 5;

export async function checkRedis(url: string | null, clock: Clock): Promise<Finding[]> {
  if (url === null) {
    return [good(subject, 'REDIS_URL is not set: one gateway keeps the ledger in its memory, which suits one machine')];
  }
  try {
    await using redis = await connectRedis({ url });
    return [await judgeServer(redis), ...(await judgeRoundTrips(redis, clock))];
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const advice = error instanceof RedisUnfit ? 'the sentence says what to do' : 'start it, or correct REDIS_URL';
    return [problem(subject, why, advice)];
  }
}

async function judgeServer(redis: Redis): Promise<Finding> {
  // A user that may not ask learns nothing here.
  const text = await redis.command('INFO').then(String, () => '');
  const of = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(text)?.[1] ?? '';
  const version = of('valkey_version') === '' ? of('redis_version') : `Valkey ${of('valkey_version')}`;
  const policy = of('maxmemory_policy') || 'noeviction';
  const found = `version ${version || 'unknown'}, maxmemory-policy ${policy}`;
  if (policy === 'noeviction') return good(subject, found);
  return warning(subject, found, 'set maxmemory-policy noeviction: with others Redis may drop what Berth still needs');
}

async function judgeRoundTrips(redis: Redis, clock: Clock): Promise<Finding[]> {
  const tookMs: number[] = [];
  for (let turn = 0; turn < pings; turn += 1) {
    const askedMs = clock.monotonic();
    await redis.command('PING');
    tookMs.push(clock.monotonic() - askedMs);
  }
  const quickest = Math.min(...tookMs);
  const [seconds, micros] = ((await redis.command('TIME').catch(() => null)) ?? []) as string[];
  const apart =
    seconds === undefined ? [] : [judgeClock('Redis', Number(seconds) * 1e3 + Number(micros) / 1e3 - clock.now())];
  const found = `answers in ${quickest.toFixed(1)} ms`;
  if (quickest <= slowMs) return [good(subject, found), ...apart];
  return [warning(subject, found, 'put Redis closer: every request waits for it once before it gets a slot'), ...apart];
}
