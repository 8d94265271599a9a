// `npm run bench:engine`: our engine beside llama-server on the same models, interleaved. `--quick` takes one sample of
// each and `--model 15M` one model's; only a whole run is published.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { writeGguf } from '../../models/gguf.ts';
import { randomModel } from '../../models/random.ts';
import { knownVersion } from '../../../worker/engine/llama/binding.ts';
import { insert } from '../gateway/report.ts';
import { buildPeer, startOurs, startPeer } from './peer.ts';
import type { Server } from './peer.ts';
import { report } from './report.ts';
import type { Results } from './report.ts';
import { freed, gap, throughput, warmStart } from './samples.ts';

const quick = process.argv.includes('--quick');
const only = process.argv.includes('--model') ? process.argv.at(process.argv.indexOf('--model') + 1) : null;
const root = join(import.meta.dirname, '../../..');
const folder = join(root, '.cache/bench-engine');
const contextTokens = 4096;
const chunks = [64, 128, 256, 512];
const models = [
  { name: '15M', parameters: 15e6, vocabulary: 12_800, promptTokens: 128, tokens: 256, samples: 7 },
  { name: '150M', parameters: 150e6, vocabulary: 32_000, promptTokens: 256, tokens: 64, samples: 3 },
]
  .filter(({ name }) => only === null || name === only)
  .map((model) => ({ ...model, samples: quick ? 1 : model.samples, path: join(folder, `${model.name}.gguf`) }));

const git = (...args: string[]) =>
  execFileSync('git', ['-C', import.meta.dirname, ...args], { encoding: 'utf8' }).trim();
const results: Results = {
  date: new Date().toISOString().slice(0, 16).replace('T', ' '),
  commit: git('rev-parse', '--short=12', 'HEAD'),
  machine: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, no GPU, load average ${loadavg()[0]?.toFixed(1)} at the start`,
  versions: `Node ${process.versions.node}, node-llama-cpp ${knownVersion}, llama-server of the same source`,
  throughput: [],
  gaps: [],
  freed: [],
  warm: [],
};

/** Asks both in turn, after one round that warms them. */
async function inTurn<T>(
  count: number,
  servers: readonly Server[],
  sample: (server: Server) => Promise<T>,
): Promise<T[][]> {
  const taken: T[][] = servers.map(() => []);
  for (let round = -1; round < count; round += 1) {
    for (const [index, server] of servers.entries()) {
      const one = await sample(server);
      if (round >= 0) taken[index]?.push(one);
    }
  }
  return taken;
}

buildPeer();
mkdirSync(folder, { recursive: true });
for (const model of models) {
  const { name, parameters, vocabulary, path, promptTokens, tokens, samples } = model;
  const shape = { name: `random ${name}`, parameters, vocabulary, type: 'q8_0', context: contextTokens } as const;
  writeGguf(path, randomModel({ ...shape, ends: false, seed: 1 }));
  for (const slots of [1, 2, 4, 8]) {
    await using ours = await startOurs(path, slots, contextTokens, 128);
    await using peer = await startPeer(path, slots, contextTokens);
    const speed = (server: Server) => throughput(server, slots, promptTokens, tokens);
    const [a = [], b = []] = await inTurn(samples, [ours, peer], speed);
    results.throughput.push({ model: name, slots, ours: a, peer: b });
    console.log(name, slots, 'slots: done');
    if (slots !== 1) continue;
    const [freedOurs = [], freedPeer = []] = await inTurn(samples, [ours, peer], (server) => freed(server, 2000));
    results.freed.push({ model: name, ours: freedOurs, peer: freedPeer });
    const [warmOurs = [], warmPeer = []] = await inTurn(samples, [ours, peer], (server) => warmStart(server, 2000));
    results.warm.push({ model: name, ours: warmOurs, peer: warmPeer });
  }
  const servers = [await startPeer(path, 2, contextTokens)];
  for (const chunk of chunks) servers.push(await startOurs(path, 2, contextTokens, chunk));
  const [peer = [], ...ours] = await inTurn(Math.min(samples, 5), servers, (server) => gap(server, 2048));
  results.gaps.push({ model: name, peer, ours: chunks.map((chunk, index) => ({ chunk, samples: ours[index] ?? [] })) });
  for (const server of servers) await server[Symbol.asyncDispose]();
  console.log(name, 'gaps: done');
}

publish(report(results));

/** Raw data always; BENCHMARKS.md only from a whole run. */
function publish(text: string): void {
  const whole = !quick && only === null;
  const place = whole ? join(import.meta.dirname, 'results') : folder;
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, `${results.date.replace(/[ :]/g, '-')}.json`), `${JSON.stringify(results)}\n`);
  console.log(`\n${text}`);
  if (!whole) return;
  const document = join(root, 'BENCHMARKS.md');
  writeFileSync(document, insert(readFileSync(document, 'utf8'), text, 'bench:engine'));
}
