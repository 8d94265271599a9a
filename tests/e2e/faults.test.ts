// Processes that die, freeze or hang up while others go on: what clients see, and that no slot stays lost.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { enginesOf, longModel, startGateway, startWorker, workersReady } from './berth.ts';
import type { Berth, Folder } from './berth.ts';
import { burst, isPutOff, isWhole, mostAtOnce } from './burst.ts';
import { eventually } from './eventually.ts';
import { aPool, heldSlots, metric, queued, usedInAll, usedSlots } from './pool.ts';
import type { Pool } from './pool.ts';
import { ask, begin, chat, ollamaLines, openaiText, rawAnswer } from './requests.ts';
import type { Running } from './requests.ts';

const slots = 4;
/** An answer of about four seconds, unless it is cut. */
const long = (word: string) => chat(`[[tokenDelayMs=20 repeat=200]] ${word} `, { stream: true });
/** An answer of about a second. */
const short = (word: string) => chat(`[[tokenDelayMs=20 repeat=50]] ${word} `, { stream: true });

/** Far more than it takes, and less than a long answer has left: what is free by then was given back, not used up. */
const soonMs = 2_500;

let pool: Pool;

beforeAll(async () => {
  pool = await aPool({ redisUrl: inject('redisUrl'), gateways: 2, workers: ['w1', 'w2'], slots });
});
afterAll(() => pool[Symbol.asyncDispose]());

/** A stream that has begun, and the id of the worker that runs it. */
async function streaming(gateway: number, body: unknown, path?: string): Promise<{ running: Running; worker: string }> {
  const running = begin({ url: pool.url(gateway), body, ...(path !== undefined && { path }) });
  const headers = await running.headers;
  return { running, worker: String(headers['berth-worker']) };
}

/** Nothing of a test before is left: the dead have successors, and every slot of workers and ledger is free. */
async function mend(): Promise<void> {
  const dead = [...pool.workers].filter(([, { alive }]) => !alive);
  await Promise.all(dead.map(([id]) => pool.addWorker(id)));
  await Promise.all(pool.gateways.map((gateway) => workersReady(gateway, 2)));
  await eventually('all slots are free', async () => {
    const gateway = pool.gateways[0];
    const counts = await Promise.all([usedInAll(pool), heldSlots(gateway), queued(gateway)]);
    return counts.every((count) => count === 0);
  });
}

describe('a pool', () => {
  beforeEach(mend);

  describe('a client that hangs up', () => {
    test('in mid-stream: its slot is free at once, at the worker and in the ledger', async () => {
      const { running } = await streaming(0, long('gone'));
      await running.until('gone');
      running.abort();
      const free = async () => (await usedInAll(pool)) + (await heldSlots(pool.gateways[1])) === 0;
      await eventually('the slot is free', free, { withinMs: soonMs });
    });

    test('before the first token: the same', async () => {
      const running = begin({ url: pool.url(0), body: chat('[[prefillDelayMs=20000]] never', { stream: true }) });
      await eventually('it runs', async () => (await usedInAll(pool)) === 1);
      running.abort();
      const free = async () => (await usedInAll(pool)) + (await heldSlots(pool.gateways[1])) === 0;
      await eventually('the slot is free', free, { withinMs: soonMs });
    });

    test('with all others at once, amid ends and beginnings: every slot is free at once', async () => {
      for (let round = 0; round < 3; round += 1) {
        const crowd = Array.from({ length: 60 }, (_, at) =>
          begin({ url: pool.url(at % 2), body: chat(`[[prefillDelayMs=${40 + at}]] hello`) }),
        );
        const seen = crowd.map(({ answer }) => answer.catch(() => null));
        await Promise.race(seen);
        for (const each of crowd) each.abort();
        const free = async () => (await usedInAll(pool)) + (await heldSlots(pool.gateways[1])) === 0;
        await eventually('all slots are free', free, { withinMs: soonMs });
      }
    });

    test('in the queue: its ticket is withdrawn, and those behind it move up', async () => {
      const running = await Promise.all(Array.from({ length: 2 * slots }, () => streaming(0, long('busy'))));
      const first = begin({ url: pool.url(0), body: chat('first') });
      await eventually('one waits', async () => (await queued(pool.gateways[1])) === 1);
      const second = ask({ url: pool.url(1), body: chat('second') });
      await eventually('two wait', async () => (await queued(pool.gateways[1])) === 2);
      first.abort();
      await eventually('one waits', async () => (await queued(pool.gateways[1])) === 1, { withinMs: soonMs });
      for (const each of running) each.running.abort();
      expect(openaiText((await second).text)).toBe('second');
    });
  });

  describe('a worker that is killed in mid-stream', () => {
    test('its clients see an error event and a cut connection at once; others go on; its successor serves', async () => {
      const streams = await Promise.all(Array.from({ length: 4 }, (_, index) => streaming(index % 2, short('going'))));
      const victim = streams[0]?.worker ?? '';
      const doomed = streams.filter(({ worker }) => worker === victim);
      const others = streams.filter(({ worker }) => worker !== victim);
      expect(others.length).toBeGreaterThan(0);
      await Promise.all(doomed.map(({ running }) => running.until('going')));

      pool.workers.get(victim)?.kill('SIGKILL');
      const killedMs = performance.now();
      for (const { running } of doomed) {
        const { clean, text } = await running.answer;
        expect(performance.now() - killedMs).toBeLessThan(soonMs);
        expect(clean).toBe(false);
        expect(text).toMatch(/\ndata: \{"error":\{.*"code":"worker_failed".*\n\n$/);
        expect(text).not.toContain('[DONE]');
      }
      // The next requests do not wait for the dead one to be missed.
      const next = await Promise.all(
        Array.from({ length: 4 }, (_, index) => ask({ url: pool.url(index % 2), body: chat('next') })),
      );
      expect(next.map(({ status, text }) => [status, openaiText(text)])).toEqual(next.map(() => [200, 'next']));
      for (const { running } of others) {
        const { clean, text } = await running.answer;
        expect({ clean, done: text.includes('[DONE]') }).toEqual({ clean: true, done: true });
      }

      await pool.addWorker(victim);
      await serves(victim);
    });

    test('amid 200 requests: at most those that it ran are cut, and every other is answered, or put off', async () => {
      const going = burst([pool.url(0), pool.url(1)], 200);
      await eventually('some are answered', () => going.ended >= 40);
      pool.workers.get('w1')?.kill('SIGKILL');
      const answers = await going.answers;
      const cut = answers.filter((answer, index) => !isWhole(answer, index) && !isPutOff(answer));
      expect(cut.length).toBeLessThanOrEqual(slots);
      expect(answers.filter(isWhole).length).toBeGreaterThanOrEqual(100);
      for (const most of mostAtOnce(answers).values()) expect(most).toBeLessThanOrEqual(slots);
    });

    test("on the wire: OpenAI's reply has no last chunk, Ollama's ends with an error line and no last chunk", async () => {
      for (const path of ['/v1/chat/completions', '/api/chat']) {
        let victim: string | undefined;
        const bytes = await rawAnswer({ url: pool.url(0), path, body: long('going') }, (soFar) => {
          const [, worker] = /berth-worker: (\S+)/i.exec(soFar) ?? [];
          if (victim !== undefined || worker === undefined || !soFar.includes('going')) return;
          victim = worker;
          pool.workers.get(worker)?.kill('SIGKILL');
        });
        expect(victim).toBeDefined();
        expect(bytes).toMatch(/\r\ntransfer-encoding: chunked\r\n/i);
        expect(bytes).not.toMatch(/\r\n0\r\n/);
        expect(bytes).toMatch(
          path === '/api/chat' ? /\{"error":"[^\n]*"\}\n\r\n$/ : /data: \{"error":\{[^\n]*\}\n\n\r\n$/,
        );
        await mend();
      }
    });

    test('before its first token: the request is answered by the other worker', async () => {
      const running = begin({ url: pool.url(0), body: chat('[[prefillDelayMs=500]] twice', { stream: true }) });
      const busy = async () => {
        const used = await Promise.all(
          [...pool.workers].map(async ([id, worker]) => [id, await usedSlots(worker)] as const),
        );
        return used.find(([, count]) => count > 0)?.[0];
      };
      let victim: string | undefined;
      await eventually('it runs', async () => (victim = await busy()) !== undefined);
      pool.workers.get(victim ?? '')?.kill('SIGKILL');
      const { status, text, clean, headers } = await running.answer;
      expect({ status, clean, said: openaiText(text) }).toEqual({ status: 200, clean: true, said: 'twice' });
      expect(headers['berth-worker']).not.toBe(victim);
    });
  });

  describe('a gateway that is killed', () => {
    test('its slots are free, its tickets are forgotten, and the other gateway goes on', async () => {
      const doomed = await pool.addGateway();
      await workersReady(doomed, 2);
      const own = await Promise.all([streaming(0, long('own')), streaming(1, long('own'))]);
      const lost = Array.from({ length: 2 * slots - 2 }, () => begin({ url: doomed.url, body: long('lost') }));
      await Promise.all(lost.map((running) => running.until('lost')));
      const waiting = begin({ url: doomed.url, body: chat('waiting') });
      await eventually('its ticket waits', async () => (await queued(pool.gateways[0])) === 1);
      expect(await heldSlots(pool.gateways[0])).toBe(2 * slots);

      doomed.kill('SIGKILL');
      pool.gateways.pop();
      // By then some of the others may have ended, too: on a slow machine it takes as long as they do.
      const free = async () =>
        (await heldSlots(pool.gateways[0])) <= own.length && (await usedInAll(pool)) <= own.length;
      await eventually('its slots are free', free);
      await eventually('its ticket is gone', async () => (await queued(pool.gateways[0])) === 0);
      for (const running of lost) await expect(running.answer.then(({ clean }) => clean)).resolves.toBe(false);
      await expect(waiting.answer).rejects.toThrow();
      for (const { running } of own) expect(await running.answer).toMatchObject({ clean: true });
    });
  });

  describe('told to leave', () => {
    test('a worker finishes what it runs, gets nothing new, and ends with 0', async () => {
      const { running, worker } = await streaming(0, short('last'));
      const leaving = pool.workers.get(worker);
      leaving?.kill('SIGTERM');
      const drains = async () => (await metric(leaving, 'berth_worker_slots')) === 0;
      await eventually('it drains', drains);
      const next = await Promise.all(Array.from({ length: 3 }, () => ask({ url: pool.url(1), body: chat('next') })));
      expect(next.map(({ status, headers }) => [status, headers['berth-worker'] === worker])).toEqual(
        next.map(() => [200, false]),
      );
      expect(await running.answer).toMatchObject({ clean: true });
      expect(running.text).toContain('[DONE]');
      expect(await leaving?.ended).toBe(0);
      // It says good-bye: nobody has to miss it for five seconds.
      await eventually('it has left the roster', async () => !(await rosterHas(worker)), { withinMs: 4_000 });
    });

    test('a gateway finishes what it streams, refuses what is new, and ends with 0', async () => {
      const leaving = await pool.addGateway();
      await workersReady(leaving, 2);
      const running = begin({ url: leaving.url, body: short('last') });
      await running.until('last');
      leaving.kill('SIGTERM');
      pool.gateways.pop();
      await eventually('it drains', async () => (await fetch(`${leaving.url}/readyz`)).status === 503);
      expect(await ask({ url: leaving.url, body: chat('new') })).toMatchObject({ status: 503 });
      expect(await ask({ url: pool.url(0), body: chat('new') })).toMatchObject({ status: 200 });
      expect(await running.answer).toMatchObject({ clean: true });
      expect(await leaving.ended).toBe(0);
    });
  });

  describe('a worker that freezes', () => {
    test('leaves the roster, its streams are cut with an error, new requests go elsewhere, and it comes back', async () => {
      const { running, worker } = await streaming(0, long('frozen'));
      await running.until('frozen');
      pool.workers.get(worker)?.kill('SIGSTOP');
      await eventually('it leaves the roster', () => rosterHas(worker).then((has) => !has));

      const next = await Promise.all(
        Array.from({ length: 6 }, (_, index) => ask({ url: pool.url(index % 2), body: chat('next') })),
      );
      expect(next.map(({ status }) => status)).toEqual(next.map(() => 200));
      expect(next.filter(({ headers }) => headers['berth-worker'] === worker)).toEqual([]);
      const { clean, text } = await running.answer;
      expect(clean).toBe(false);
      expect(text).toContain('"code":"worker_failed"');

      pool.workers.get(worker)?.kill('SIGCONT');
      await eventually('it is back', () => rosterHas(worker));
      await serves(worker);
    });
  });
});

/** Of more requests than the others have slots for, some are answered by this worker; one that waits brings it a copy of the model. */
async function serves(worker: string): Promise<void> {
  await eventually(`${worker} serves`, async () => {
    const asked = Array.from({ length: slots + 1 }, () =>
      ask({ url: pool.url(0), body: chat('[[prefillDelayMs=2200]] hello') }),
    );
    return (await Promise.all(asked)).some(({ headers }) => headers['berth-worker'] === worker);
  });
}

async function rosterHas(worker: string): Promise<boolean> {
  const all = await Promise.all(pool.gateways.map(async ({ url }) => (await fetch(`${url}/health`)).text()));
  return all.some((text) => text.includes(`"worker":"${worker}"`));
}

describe('an engine that is killed', () => {
  let models: Folder;
  let gateway: Berth;
  let worker: Berth;

  beforeAll(async () => {
    models = await longModel();
    const common = { REDIS_URL: inject('redisUrl'), POOL: `e2e-${randomUUID()}` };
    gateway = await startGateway(common);
    worker = await startWorker({ ...common, MODELS_DIR: models.path });
    await workersReady(gateway, 1);
  });
  afterAll(async () => {
    await Promise.all([gateway.stop(), worker.stop()]);
    await models[Symbol.asyncDispose]();
  });

  const speak = { ...chat('speak'), model: 'long' };

  test('in mid-stream: each stream ends with an explicit error, and the next request is served by a new engine', async () => {
    expect(await ask({ url: gateway.url, body: { ...speak, max_tokens: 2 } })).toMatchObject({ status: 200 });
    const streams = [1, 2].map(() => begin({ url: gateway.url, path: '/api/chat', body: speak }));
    await Promise.all(streams.map((running) => running.until('"done":false')));
    const [engine] = await enginesOf(worker.pid);
    process.kill(engine?.pid ?? 0, 'SIGKILL');
    for (const { answer } of streams) {
      const { clean, text } = await answer;
      expect(clean).toBe(false);
      expect(ollamaLines(text).at(-1)).toMatchObject({ error: expect.stringContaining('the answer was cut') });
    }
    const next = await ask({ url: gateway.url, body: { ...speak, max_tokens: 2 } });
    expect(next).toMatchObject({ status: 200, clean: true });
    expect((await enginesOf(worker.pid)).map(({ pid }) => pid)).not.toContain(engine?.pid);
    await eventually('no slot is lost', async () => (await usedSlots(worker)) + (await heldSlots(gateway)) === 0);
  });

  test('before the first token, on the only worker: the request is answered by a new engine', async () => {
    // A prompt of some thousand tokens: the kill comes while it is read.
    const prompt = 'word '.repeat(700);
    const running = begin({
      url: gateway.url,
      body: { ...speak, messages: [{ role: 'user', content: prompt }], max_tokens: 2 },
    });
    await eventually('it runs', async () => (await usedSlots(worker)) === 1);
    const [engine] = await enginesOf(worker.pid);
    process.kill(engine?.pid ?? 0, 'SIGKILL');
    const { status, text, clean } = await running.answer;
    expect({ status, clean, said: openaiText(text) }).toEqual({ status: 200, clean: true, said: ' 0 1' });
  });
});
