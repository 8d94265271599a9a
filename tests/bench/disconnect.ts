// How long a slot stays taken after its client has closed the connection: `npm run bench:disconnect`.
// One slot, and somebody who waits for it: from the close to the first byte of the next answer, so the figure holds
// the way to the worker, the engine's last step, the hand-off, and the next request's own beginning.
import { setTimeout as pause } from 'node:timers/promises';
import { echoModels, longModel, startLocal } from '../e2e/berth.ts';
import type { Berth, Folder } from '../e2e/berth.ts';
import { begin } from '../e2e/requests.ts';

const rounds = Number(process.env['ROUNDS'] ?? 200);
/** Time for the next request to reach the queue before the slot is given up. */
const queuedMs = 30;

interface Side {
  name: string;
  engine: string;
  models: () => Promise<Folder>;
  model: string;
  prompt: string;
}

const sides: Side[] = [
  {
    name: 'echo engine',
    engine: 'echo',
    models: () => echoModels('m'),
    model: 'm',
    prompt: '[[tokenDelayMs=5 repeat=9999]] word ',
  },
  { name: 'llama engine', engine: 'llama', models: longModel, model: 'long', prompt: 'go on' },
];

async function measure({ engine, models, model, prompt }: Side): Promise<number[]> {
  await using folder = await models();
  await using berth = await startLocal({ env: { ENGINE: engine, MODELS_DIR: folder.path, NUM_PARALLEL: '1' } });
  const times: number[] = [];
  const body = { model, stream: true, messages: [{ role: 'user', content: prompt }] };
  let running = await streaming(berth, body);
  for (let round = 0; round < rounds; round += 1) {
    const next = begin({ url: berth.url, body });
    await pause(queuedMs);
    const closedMs = performance.now();
    running.abort();
    await next.until('data: ');
    times.push(performance.now() - closedMs);
    running = next;
  }
  running.abort();
  return times.sort((a, b) => a - b);
}

async function streaming(berth: Berth, body: object) {
  const request = begin({ url: berth.url, body });
  await request.until('data: ');
  return request;
}

const at = (times: number[], share: number) => (times[Math.ceil(times.length * share) - 1] ?? NaN).toFixed(1);

for (const side of sides) {
  const times = await measure(side);
  console.log(
    `${side.name}: ${times.length} closes, p50 ${at(times, 0.5)} ms, p99 ${at(times, 0.99)} ms, most ${at(times, 1)} ms`,
  );
}
