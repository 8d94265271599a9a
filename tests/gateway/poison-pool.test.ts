// Two gateways and a real Redis between them: what one has found out about a request or a key, the other knows before it
// has cost an engine there.
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { silentLog } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { systemRandom } from '@berth/shared/random.ts';
import { connectRedis } from '@berth/shared/redis.ts';
import type { Redis } from '@berth/shared/redis.ts';
import { openRegisters } from '../../gateway/policy/registers.ts';
import { checkMark, isMarkKept } from '../../gateway/poison.ts';
import { refuse, whole } from '../doubles/fake-worker.ts';
import { ownRedis } from '../tools/redis.ts';
import type { RedisServer } from '../tools/redis.ts';
import { call, infer } from './policy/calls.ts';
import { startRig } from './rig.ts';
import type { Rig } from './rig.ts';

const [bad, good] = ['the-key-of-the-poisoner', 'the-key-of-somebody-else'] as const;
const served = whole('served');
const dies = refuse(502, new Refusal('engine_died', 'the model stopped working'));
let server: RedisServer;
let redis: Redis;
let rigs: [Rig, Rig];

async function aGateway(): Promise<Rig> {
  const marks = await openRegisters({
    path: null,
    carrier: redis,
    prefix: 'b:{poison}:policy:marks',
    everyMs: 200,
    check: checkMark,
    isKept: (_, mark) => isMarkKept(mark, Date.now()),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  return await startRig({ door: [bad, good], clock: systemClock, options: { marks } });
}

beforeAll(async () => {
  server = await ownRedis((why) => {
    throw new Error(why);
  });
  redis = await connectRedis({ url: server.url });
  rigs = [await aGateway(), await aGateway()];
});
afterAll(async () => {
  await Promise.all(rigs.map((rig) => rig[Symbol.asyncDispose]()));
  await redis[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const says = (content: string) => ({ messages: [{ role: 'user', content }] });
const listed = async (rig: Rig) => {
  const { json } = await call(rig, good, 'GET', '/admin/quarantine');
  return (json['quarantine'] as { id: string; what: string }[]).map(({ id, what }) => ({ id, what }));
};
const knows = (rig: Rig, what: string, count: number) =>
  vi.waitFor(async () => expect((await listed(rig)).filter((each) => each.what === what)).toHaveLength(count), {
    timeout: 10_000,
  });

test('a request that was found out at one gateway is refused at the other, without an engine', async () => {
  const [here, there] = rigs;
  here.worker.act(dies, dies);
  there.worker.act(served);
  expect((await infer(here, bad, says('poison 1'))).status).toBe(422);
  await knows(there, 'request', 1);
  expect((await infer(there, bad, says('poison 1'))).status).toBe(422);
  expect(there.worker.seen).toHaveLength(0);
  expect((await infer(there, bad, says('remedy'))).status).toBe(200);
});

test('a key that does it again and again is refused at both, and nobody else is', async () => {
  const [here, there] = rigs;
  for (const which of [2, 3]) {
    here.worker.act(dies, dies);
    expect((await infer(here, bad, says(`poison ${which}`))).status).toBe(422);
  }
  await knows(there, 'key', 1);
  await knows(there, 'request', 3);
  here.worker.act(served);
  for (const rig of rigs) {
    const { status, text } = await infer(rig, bad, says('harmless'));
    expect([status, text]).toEqual([429, expect.stringContaining('"code":"key_isolated"')]);
    expect((await infer(rig, good, says('harmless'))).status).toBe(200);
  }
});

test('an emptied Redis forgets nothing of it, and what an administrator lets go at one is let go at both', async () => {
  const [here, there] = rigs;
  await redis.command('FLUSHALL');
  await vi.waitFor(async () => expect(await redis.command('HLEN', 'b:{poison}:policy:marks')).toBeGreaterThan(3), {
    timeout: 10_000,
  });
  for (const rig of rigs) expect((await infer(rig, bad, says('harmless'))).status).toBe(429);
  for (const { id } of await listed(there)) await call(there, good, 'DELETE', `/admin/quarantine/${id}`);
  await knows(here, 'key', 0);
  here.worker.act(served);
  expect((await infer(here, bad, says('harmless'))).status).toBe(200);
});
