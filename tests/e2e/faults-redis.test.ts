// Redis that is away, or comes back empty, while streams run: it is soft state, and nobody's answer may depend on it.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startRedis } from '../tools/redis.ts';
import type { RedisServer } from '../tools/redis.ts';
import { startGateway, startWorker, workersReady } from './berth.ts';
import { burst, isPutOff, isWhole, mostAtOnce } from './burst.ts';
import { eventually } from './eventually.ts';
import { aPool, heldSlots, metric, queued, usedInAll } from './pool.ts';
import type { Pool } from './pool.ts';
import { ask, begin, chat, openaiText } from './requests.ts';
import type { Answer, Running } from './requests.ts';

const slots = 4;

let redis: RedisServer;
let pool: Pool;

beforeAll(async () => {
  redis = await startRedis();
  pool = await aPool({ redisUrl: redis.url, gateways: 2, workers: ['w1', 'w2'], slots });
});
afterAll(async () => {
  await pool[Symbol.asyncDispose]();
  await redis.stop();
});

/** Empty, at the same address. */
async function restartRedis(): Promise<void> {
  redis = await startRedis({ port: Number(new URL(redis.url).port) });
}

/** Streams over both gateways that have begun, each of about so many milliseconds. */
async function streams(count: number, ms: number): Promise<Running[]> {
  const body = chat(`[[tokenDelayMs=20 repeat=${ms / 20}]] word `, { stream: true });
  const all = Array.from({ length: count }, (_, index) => begin({ url: pool.url(index % 2), body }));
  await Promise.all(all.map((running) => running.until('word')));
  return all;
}

/** Ended as it should: nothing cut, nothing lost, nothing twice. */
function whole({ clean, text }: Answer, ms: number): void {
  expect({ clean, done: text.includes('[DONE]') }).toEqual({ clean: true, done: true });
  expect(openaiText(text)).toBe('word '.repeat(ms / 20));
}

const word = (gateway: number, text: string) => ask({ url: pool.url(gateway), body: chat(text) });

/** Within a few seconds; until then a client is told to come again, and nothing else. */
async function answersAgain(gateway: number): Promise<void> {
  let last = '';
  const answers = async () => {
    const answer = await word(gateway, 'next');
    last = answer.text;
    if (answer.status === 200) return openaiText(last) === 'next';
    expect(isPutOff(answer)).toBe(true);
    return false;
  };
  await eventually('it answers', answers, { withinMs: 5_000 }).catch((error: Error) => {
    throw new Error(`${error.message}: ${last}`);
  });
}

async function ledgerAnswers(): Promise<void> {
  await eventually('both gateways hear the ledger', async () => {
    const up = await Promise.all(pool.gateways.map((gateway) => metric(gateway, 'berth_ledger_up')));
    return up.every((value) => value === 1);
  });
}

describe('Redis', () => {
  beforeEach(async () => {
    await ledgerAnswers();
    await Promise.all(pool.gateways.map((gateway) => workersReady(gateway, 2)));
  });

  test('killed and started again empty: no stream is cut, new requests work, and the ledger equals the truth', async () => {
    const ms = 6_000;
    const running = await streams(6, ms);
    await redis.stop();
    await restartRedis();
    // From its emptiness until the beats have filled it again.
    for (let turn = 0; turn < 20; turn += 1) {
      const answers = await Promise.all([word(0, 'next'), word(1, 'next')]);
      expect(answers.map(({ status, text }) => [status, openaiText(text)])).toEqual([
        [200, 'next'],
        [200, 'next'],
      ]);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await eventually('the ledger knows every running stream again', async () => {
      const [held, used] = await Promise.all([heldSlots(pool.gateways[0]), usedInAll(pool)]);
      return held === 6 && used === 6;
    });
    for (const { answer } of running) whole(await answer, ms);
    await eventually(
      'all is given back',
      async () => (await heldSlots(pool.gateways[1])) + (await usedInAll(pool)) === 0,
    );
  });

  test('away: streams end as they should, new requests are answered, and no worker runs more than its slots', async () => {
    const ms = 4_000;
    const running = await streams(4, ms);
    await redis.stop();
    // The first may find out for all that Redis is away, and be told to come again; nobody gets anything else.
    const first = await Promise.all([word(0, 'first'), word(1, 'first')]);
    for (const { status, headers } of first) {
      expect([200, 503]).toContain(status);
      if (status === 503) expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    }
    const next = await Promise.all(Array.from({ length: 24 }, (_, index) => word(index % 2, `next ${index}`)));
    expect(next.map(({ status, text }) => [status, status === 200 ? openaiText(text) : text])).toEqual(
      next.map((_, index) => [200, `next ${index}`]),
    );
    for (const worker of pool.workers.values()) expect(await metric(worker, 'berth_worker_slots')).toBe(slots);
    for (const { answer } of running) whole(await answer, ms);
    for (const gateway of pool.gateways) expect(await metric(gateway, 'berth_ledger_up')).toBe(0);

    await restartRedis();
    await ledgerAnswers();
    await eventually('all is free', async () => {
      const counts = await Promise.all([heldSlots(pool.gateways[0]), queued(pool.gateways[0]), usedInAll(pool)]);
      return counts.every((count) => count === 0);
    });
    expect(await word(1, 'back')).toMatchObject({ status: 200 });
  });

  test('emptied by hand while requests wait: each is served once, in the end', async () => {
    const running = await streams(2 * slots, 2_000);
    const waiting = Array.from({ length: 6 }, (_, index) => word(index % 2, `waited ${index}`));
    await eventually('all wait', async () => (await queued(pool.gateways[0])) === 6);
    await redis.stop();
    await restartRedis();
    for (const { answer } of running) whole(await answer, 2_000);
    for (const [index, answer] of (await Promise.all(waiting)).entries()) {
      expect([answer.status, openaiText(answer.text)]).toEqual([200, `waited ${index}`]);
    }
  });

  test('lost and back amid 200 requests: each ends once, and no worker ever runs more than its slots', async () => {
    const going = burst([pool.url(0), pool.url(1)], 200);
    await eventually('some are answered', () => going.ended >= 40);
    await redis.stop();
    await eventually('half are answered', () => going.ended >= 100);
    await restartRedis();
    const answers = await going.answers;
    expect(answers.filter((answer, index) => !isWhole(answer, index) && !isPutOff(answer))).toEqual([]);
    expect(answers.filter(isWhole).length).toBeGreaterThanOrEqual(100);
    for (const most of mostAtOnce(answers).values()) expect(most).toBeLessThanOrEqual(slots);
  });

  test('frozen: a process that starts says so in time, and those that run go on', async () => {
    process.kill(redis.pid, 'SIGSTOP');
    try {
      const env = { REDIS_URL: redis.url };
      await expect(startGateway(env)).rejects.toThrow(/Redis at redis:\/\/127\.0\.0\.1:\d+ /);
      await expect(startWorker(env)).rejects.toThrow(/Redis at redis:\/\/127\.0\.0\.1:\d+ /);
      await answersAgain(0);
    } finally {
      process.kill(redis.pid, 'SIGCONT');
    }
    await ledgerAnswers();
  });
});
