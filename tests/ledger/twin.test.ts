// Both ledgers live through the same random histories: replies, pushes and everything they hold stay the same.
import { array, assert, asyncProperty } from 'fast-check';
import { expect, inject, test } from 'vitest';
import { broken } from './invariants.ts';
import { act, concrete, event, newWorld, remember, type Event, type Input } from './histories.ts';
import { openMemory, openRedis, type Opened } from './opened.ts';

/** `RUNS=20000 SEED=7 npx vitest run tests/ledger/twin.test.ts` looks longer, and again at the same histories. */
const runs = Number(process.env['RUNS'] ?? 100);
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
const stepsMax = 120;

test(
  `memory and Redis agree after every operation (${runs} histories, SEED=${seed})`,
  { timeout: runs * 2_000 + 60_000 },
  async () => {
    const seen = new Map<string, number>();
    const property = asyncProperty(array(event, { minLength: 5, maxLength: stepsMax, size: 'max' }), async (events) => {
      await using memory = await openMemory();
      await using redis = await openRedis(inject('redisUrl'));
      await live(events, memory, redis, seen);
    });
    await assert(property, { numRuns: runs, seed });
    console.log(`twin: ${runs} histories, SEED=${seed}, compared: ${JSON.stringify(Object.fromEntries(seen))}`);
  },
);

/** One history on both. Counts what came of it, so that one sees what was compared. */
async function live(events: readonly Event[], memory: Opened, redis: Opened, seen: Map<string, number>): Promise<void> {
  const world = newWorld();
  const both = [memory, redis] as const;
  const later: { due: number; input: Input }[] = [];
  let dump = await memory.dump();

  const count = (what: string, times: number) => seen.set(what, (seen.get(what) ?? 0) + times);

  async function run(input: Input): Promise<void> {
    const before = dump;
    const pushes = (await memory.pushed()).length;
    const [reply, other] = [await act(input, memory), await act(input, redis)];
    expect(other).toEqual(reply);
    dump = await memory.dump();
    expect(await redis.dump()).toEqual(dump);
    expect(await redis.pushed()).toEqual(await memory.pushed());
    expect(broken(dump)).toEqual([]);
    if (input.do === 'take' || input.do === 'leave') expect(overfilled(before, dump)).toEqual([]);
    remember(input, reply, world);
    count(outcomeOf(input, reply), 1);
    count('pushes', (await memory.pushed()).length - pushes);
  }

  for (const gateway of ['g1', 'g2']) for (const it of both) await it.hear(gateway, true);
  for (const [at, { step, times, late }] of events.entries()) {
    const input = concrete(step, world, dump);
    for (let time = 0; time < times; time++) {
      if (late === 0) await run(input);
      else later.push({ due: at + late, input });
    }
    for (const { input } of later.filter(({ due }) => due === at)) await run(input);
  }
}

/** A word for the reply. */
function outcomeOf(input: Input, reply: unknown): string {
  if (typeof reply === 'string') return `${input.do} ${reply}`;
  if (typeof reply !== 'object' || reply === null || !('kind' in reply)) return input.do;
  const drift = 'added' in reply && 'dropped' in reply ? Number(reply.added) + Number(reply.dropped) : 0;
  return `${input.do} ${String(reply.kind)}${drift > 0 ? ' with drift' : ''}`;
}

/** L6: only the word of a worker makes it hold more than its capacity. */
function overfilled(before: Awaited<ReturnType<Opened['dump']>>, after: typeof before): string[] {
  const held = (dump: typeof before, worker: string) => dump.sorted[`l:${worker}`]?.length ?? 0;
  return Object.entries(after.workers)
    .filter(([worker, { capacity }]) => held(after, worker) > Math.max(capacity, held(before, worker)))
    .map(([worker]) => worker);
}
