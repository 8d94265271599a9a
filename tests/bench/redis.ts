// `npm run bench:redis`: what a request costs Redis, counted by Redis itself (INFO commandstats), and what an idle pool does.
import { Redis } from 'ioredis';
import { aPool } from '../e2e/pool.ts';
import { ask, chat } from '../e2e/requests.ts';
import { startRedis } from '../tools/redis.ts';

const requests = 500;
const idleMs = 10_000;

await using server = await startRedis();
await using pool = await aPool({ redisUrl: server.url, gateways: 2, workers: ['one', 'two'], slots: 4 });
const client = new Redis(server.url);

interface Count {
  calls: number;
  usec: number;
}

/** Commands of clients since the last reset; what a script does inside is its own command's time. */
async function counts(): Promise<Map<string, Count>> {
  const text = await client.info('commandstats');
  const lines = text.matchAll(/^cmdstat_(\S+):calls=(\d+),usec=(\d+)/gm);
  return new Map(
    Array.from(lines, ([, name = '', calls, usec]) => [name, { calls: Number(calls), usec: Number(usec) }]),
  );
}

async function during(work: () => Promise<void>): Promise<{ seconds: number; top: Map<string, Count>; usec: number }> {
  await client.config('RESETSTAT');
  const startMs = performance.now();
  await work();
  const seconds = (performance.now() - startMs) / 1_000;
  const all = await counts();
  const top = new Map(
    [...all].filter(([name]) => ['evalsha', 'eval', 'get', 'set', 'subscribe', 'time', 'ping'].includes(name)),
  );
  return { seconds, top, usec: [...top.values()].reduce((sum, { usec }) => sum + usec, 0) };
}

const idle = await during(() => new Promise((resolve) => setTimeout(resolve, idleMs)));
const busy = await during(async () => {
  for (let turn = 0; turn < requests; turn += 4) {
    await Promise.all([0, 1, 2, 3].map((at) => ask({ url: pool.url(at % 2), body: chat('one two three') })));
  }
});
const perSecond = (counted: typeof idle, name: string) => (counted.top.get(name)?.calls ?? 0) / counted.seconds;
const scripts = (busy.top.get('evalsha')?.calls ?? 0) - perSecond(idle, 'evalsha') * busy.seconds;
console.log(
  `idle, 2 gateways and 2 workers: ${[...idle.top.keys()].map((name) => `${name} ${perSecond(idle, name).toFixed(1)}/s`).join(', ')}`,
);
console.log(
  `a request that finds a slot: ${(scripts / requests).toFixed(2)} scripts, ${((busy.usec - (idle.usec / idle.seconds) * busy.seconds) / requests).toFixed(0)} µs of Redis (${requests} requests in ${busy.seconds.toFixed(1)} s)`,
);
client.disconnect();
