// `npm run bench:load`: what loads take on this machine, for the constants in engine.ts.
import { mkdirSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import { writeGguf } from '../../models/gguf.ts';
import { randomModel } from '../../models/random.ts';
import { median } from '../../bench/engine/samples.ts';

const folder = join(import.meta.dirname, '../../../.cache/bench-engine');
mkdirSync(folder, { recursive: true });
const open = llamaEngines({ env: process.env });
console.log(`${availableParallelism()} processors, load average ${loadavg()[0]?.toFixed(2)}`);
for (const [name, parameters, vocabulary] of [
  ['15M', 15e6, 12_800],
  ['150M', 150e6, 32_000],
] as const) {
  const path = join(folder, `load-${name}.gguf`);
  writeGguf(path, randomModel({ parameters, vocabulary, type: 'q8_0', context: 4_096, ends: false, seed: 1, name }));
  const times: number[] = [];
  for (let turn = 0; turn < 5; turn += 1) {
    const beganMs = performance.now();
    const options = { path, contextTokens: 4_096, slots: 8, threads: 1, gpu: false } as const;
    await using _engine = await open(options, new AbortController().signal);
    times.push(performance.now() - beganMs);
  }
  console.log(`${name}: a load takes ${Math.round(median(times))} ms (median of ${times.length})`);
}
