// A gateway, a worker and real engines, of which one request kills each that runs it: it is found out, others are served.
import { dirname } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import type { OpenEngine } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import { ask, secret, startRig } from '../../gateway/rig.ts';
import { aWorker } from '../../worker/a-worker.ts';
import { modelFolder } from './models.ts';

const folder = modelFolder();
folder.random('m.gguf');
afterAll(() => folder[Symbol.dispose]());

const open = llamaEngines({ env: process.env });
/** Who ran when an engine was killed. */
const deaths: string[][] = [];

/** A real engine, killed by the system in the middle of its work for a request that says `poison`. */
const killed: OpenEngine = async (options, signal) => {
  const engine = await open(options, signal);
  const running = new Map<object, string>();
  return {
    ...engine,
    async *generate(request, abort) {
      const text = JSON.stringify(request.prompt);
      running.set(request, text);
      try {
        for await (const piece of engine.generate(request, abort)) {
          // The first time not before it can take others with it.
          if (text.includes('poison') && (running.size > 1 || deaths.length > 0) && running.delete(request)) {
            deaths.push([text, ...running.values()]);
            process.kill(engine.pid, 'SIGKILL');
          }
          yield piece;
        }
      } finally {
        running.delete(request);
      }
    },
  };
};

const body = (content: string, more: object = {}) =>
  JSON.stringify({ model: 'm', max_tokens: 400, messages: [{ role: 'user', content }], ...more });

test('a poison beside three innocents: two deaths, all innocents are served, and it is refused from then on', async () => {
  await using rig = await startRig({ workers: [], clock: systemClock });
  const modelsDir = dirname(folder.path('m.gguf'));
  await using _worker = await aWorker({ modelsDir, open: killed, ledger: rig.ledger, secret, clock: systemClock });
  await expect
    .poll(async () => (await ask(rig, { body: body('warm', { max_tokens: 1 }) }).answer).status, { timeout: 10_000 })
    .toBe(200);
  const innocent = ['ba be', 'bi bo', 'bu ba'].map((text) => ask(rig, { body: body(text) }).answer);
  const poison = ask(rig, { body: body('poison') }).answer;
  expect((await poison).status).toBe(422);
  expect((await Promise.all(innocent)).map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(deaths).toHaveLength(2);
  expect(deaths[0]?.length).toBeGreaterThan(1);
  expect(deaths[1]).toEqual([expect.stringContaining('poison')]);
  expect((await ask(rig, { body: body('poison', { stream: true, seed: 5 }) }).answer).status).toBe(422);
  expect((await ask(rig, { body: body('ba be') }).answer).status).toBe(200);
  expect(deaths).toHaveLength(2);
});
