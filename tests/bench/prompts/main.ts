// Time to the first token of a prompt of 2,000 tokens whose first 1,900 are known: cold, from its slot, and from a file.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import { aRawRequest, unaborted } from '../../engine/requests.ts';
import { writeGguf } from '../../models/gguf.ts';
import { randomModel } from '../../models/random.ts';
import { median } from '../engine/samples.ts';

const models = [
  { name: '15M', parameters: 15e6, vocabulary: 12_800, samples: 7 },
  { name: '150M', parameters: 150e6, vocabulary: 32_000, samples: 3 },
];
const [knownTokens, newTokens, otherTokens] = [1_900, 100, 300];

const folder = join(import.meta.dirname, '../../../.cache/bench-engine');
mkdirSync(folder, { recursive: true });
/** Where production puts it, when that is there. */
const shared = process.platform === 'linux' ? '/dev/shm' : tmpdir();

/** Words of which each is a token, others for each seed. */
function words(count: number, seed: number): string {
  const syllables = ['ba', 'be', 'bi', 'bo', 'bu', 'da', 'de', 'di', 'do', 'du', 'ka', 'ke', 'ki', 'ko', 'ku', 'la'];
  return Array.from({ length: count }, (_, index) => syllables[(index * 7 + seed * 5 + index * seed) % 16]).join(' ');
}

interface First {
  ms: number;
  prompt: number;
  cached: number;
}

/** Until the first text has come, from a slot that is free. */
async function first(engine: Engine, text: string, cacheScope: string): Promise<First> {
  const startedAt = performance.now();
  let [ms, prompt, cached] = [0, 0, 0];
  for await (const event of engine.generate(aRawRequest(text, { cacheScope, maxTokens: 1 }), unaborted())) {
    if (event.kind === 'started') [prompt, cached] = [event.promptTokens, event.cachedTokens];
    if (ms === 0 && event.kind !== 'started') ms = performance.now() - startedAt;
  }
  return { ms, prompt, cached };
}

interface Sample {
  cold: First;
  slot: First;
  file: First;
  /** A cold prompt that has to wait until the slot's content is saved, and one that has not. */
  saving: First;
  plain: First;
}

async function sample(engine: Engine, round: number): Promise<Sample> {
  const team = `team ${round}`;
  const known = words(knownTokens, round);
  const turn = (seed: number): string => `${known} ${words(newTokens, seed + 100 * round)}`;
  const cold = await first(engine, turn(1), team);
  const slot = await first(engine, turn(2), team);
  const saving = await first(engine, words(otherTokens, 50 + round), `other ${round}`);
  const file = await first(engine, turn(3), team);
  await first(engine, 'ba', 'nobody'); // saves the prompt; what follows finds nothing that is worth saving
  const plain = await first(engine, words(otherTokens, 70 + round), `another ${round}`);
  return { cold, slot, file, saving, plain };
}

const commit = execFileSync('git', ['-C', import.meta.dirname, 'rev-parse', '--short=12', 'HEAD'], {
  encoding: 'utf8',
});
const load = loadavg()[0]?.toFixed(1);
console.log(
  `\`npm run bench:prompts\`, ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC at commit \`${commit.trim()}\` on`,
);
console.log(
  `${cpus().length} × ${cpus()[0]?.model.trim()}, one thread, load average ${load} at the start. Medians of the samples.\n`,
);
console.log(
  '| model | samples | tokens, of them cached | cold | same slot | from the file | cold beside a save, 300 tokens | without |',
);
console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
for (const { name, parameters, vocabulary, samples } of models) {
  const path = join(folder, `${name}.gguf`);
  const shape = { name: `random ${name}`, parameters, vocabulary, type: 'q8_0', context: 4096 } as const;
  writeGguf(path, randomModel({ ...shape, ends: false, seed: 1 }));
  const cache = mkdtempSync(join(shared, 'berth-bench-'));
  const options = { path, contextTokens: 4096, slots: 1, threads: 1, gpu: false } as const;
  try {
    const open = llamaEngines({ env: process.env });
    await using engine = await open({ ...options, promptCache: { folder: cache, bytesMax: 2 ** 30 } }, unaborted());
    await sample(engine, 0);
    const taken: Sample[] = [];
    for (let round = 1; round <= samples; round += 1) taken.push(await sample(engine, round));
    const ms = (kind: keyof Sample): number => median(taken.map((one) => one[kind].ms));
    const gain = (kind: 'slot' | 'file'): string =>
      `${ms(kind).toFixed(0)} ms (${(ms('cold') / ms(kind)).toFixed(1)} ×)`;
    const { prompt, cached } = taken[0]!.file;
    const others = `${ms('saving').toFixed(0)} ms | ${ms('plain').toFixed(0)} ms`;
    console.log(
      `| ${name} | ${samples} | ${prompt}, ${cached} | ${ms('cold').toFixed(0)} ms | ${gain('slot')} | ${gain('file')} | ${others} |`,
    );
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}
