// `npm run sim:placement`: placement beside other ways to run the same boxes, in virtual time; figures and plots for
// BENCHMARKS.md. `-- --azure FILE --mooncake FILE` takes the public traces instead of loads made like them.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { placementCost } from './cost.ts';
import { measured } from './engine.ts';
import { barPlot, linePlot } from './plot.ts';
import type { Figures } from './ran.ts';
import { conversations, manyModels, sixModels } from './scenes.ts';
import type { Policy, Reuse, Way } from './scenes.ts';
import { likeAzure, likeMooncake, readAzure, readMooncake, reusableOf, spreadOver, stretched } from './traces.ts';

const root = join(import.meta.dirname, '../../..');
const plots = join(root, 'docs/placement');
const { values } = parseArgs({ options: { azure: { type: 'string' }, mooncake: { type: 'string' } } });
const azure = values.azure === undefined ? likeAzure(1, 6_000) : readAzure(values.azure);
const mooncake = values.mooncake === undefined ? likeMooncake(1, 3_000) : readMooncake(values.mooncake);
const [azureName, mooncakeName] = [
  values.azure === undefined ? 'a load like the Azure conversations' : 'the Azure conversations',
  values.mooncake === undefined ? "a load like Mooncake's" : "Mooncake's synthetic trace",
];

const seconds = (ms: number) => (Number.isFinite(ms) ? (ms / 1_000).toFixed(2) : 'not all served');
const ratio = (mine: number, other: number) => (mine > 0 ? `${Number((other / mine).toPrecision(2))} ×` : '–');
const lines: string[] = [];
const say = (line: string) => {
  lines.push(line);
  console.log(line);
};

async function models(): Promise<void> {
  const scenes = [
    { name: `${azureName}, twice as slow`, asks: stretched(azure, 2) },
    { name: `${azureName}, five times as slow`, asks: stretched(azure, 5) },
    { name: `${mooncakeName}, sixteen times as slow`, asks: stretched(mooncake, 16) },
  ];
  const policies: Policy[] = ['Berth', 'Ollama, round robin', 'clairvoyant'];
  say('\n### Six models on four GPUs with room for two\n');
  say('| requests | policy | loads | wait p50, s | p95, s | p99, s | longest, s | served |');
  say('| --- | --- | --- | --- | --- | --- | --- | --- |');
  const goals: string[] = [];
  for (const [at, { name, asks }] of scenes.entries()) {
    const spread = spreadOver(asks, sixModels, 1);
    const found = new Map<Policy, Figures>();
    for (const policy of policies) {
      const it = await manyModels(policy, spread);
      found.set(policy, it);
      const waits = [it.p50Ms, it.p95Ms, it.p99Ms, it.mostMs].map(seconds).join(' | ');
      say(`| ${name} | ${policy} | ${it.loads} | ${waits} | ${it.ended} of ${it.asked} |`);
    }
    const [berth, ollama, best] = policies.map((policy) => found.get(policy)) as [Figures, Figures, Figures];
    goals.push(
      `* ${name}: loads ${ratio(berth.loads, ollama.loads)} fewer, p95 wait ${seconds(berth.p95Ms)} s against ${seconds(ollama.p95Ms)} s (goals: 2 × each); beside the clairvoyant ${ratio(best.loads, berth.loads)} its loads, mean wait ${seconds(berth.meanMs)} s to ${seconds(best.meanMs)} s; evictions of busy models ${berth.wrong.length}.`,
    );
    const curves = [...found].map(([policy, { waitsMs }]) => ({
      name: policy,
      points: waitsMs
        .filter((_, n) => n % Math.ceil(waitsMs.length / 300) === 0)
        .map((ms, n, all) => [Math.max(1, Math.min(ms, 1e6)), n / all.length] as const),
    }));
    const svg = linePlot(
      `Waits: ${name}`,
      'wait, ms (share of requests that waited no longer)',
      [1, 10, 100, 1e3, 1e4, 1e5, 1e6],
      curves,
    );
    writeFileSync(join(plots, `waits-${at + 1}.svg`), svg);
  }
  say('');
  for (const goal of goals) say(goal);
  say(scenes.map(({ name }, at) => `\n![Waits: ${name}](docs/placement/waits-${at + 1}.svg)`).join(''));
}

async function prefixes(): Promise<void> {
  const asks = stretched(mooncake, 8);
  const { reusable, total } = reusableOf(asks);
  say(`\n### Conversations over four workers\n`);
  say(
    `${mooncakeName}, eight times as slow: ${asks.length} requests, ${Math.round((100 * reusable) / total)} % of the prompt tokens were there before. Reused is the share of these that a slot or a file of the chosen worker had.\n`,
  );
  say('| prompts in files, each worker | way | reused | busiest worker beside the mean | wait p95, s |');
  say('| --- | --- | --- | --- | --- |');
  const ways: Way[] = ['Berth', 'round robin', 'least requests'];
  const shown: { name: string; value: number }[] = [];
  for (const files of [1_000, 256, 64]) {
    for (const way of ways) {
      const it: Reuse = await conversations(way, asks, files);
      say(
        `| ${files} | ${way} | ${(it.reused * 100).toFixed(1)} % | ${it.unevenness.toFixed(2)} | ${seconds(it.p95Ms)} |`,
      );
      if (files === 1_000) shown.push({ name: way, value: it.reused * 100 });
    }
  }
  writeFileSync(
    join(plots, 'prefixes.svg'),
    barPlot('Reusable prompt tokens that were reused', '%, four workers', shown),
  );
  say(
    '\nGoals: at least 90 % reused, busiest beside mean at most 1.3, with caches that hold the trace (the first row).',
  );
  say('\n![Reusable prompt tokens that were reused](docs/placement/prefixes.svg)');
}

function cost(): void {
  say('\n### What the choice costs a gateway\n');
  say('Processor time of the production functions, prompts of 12 messages and 18,000 characters.\n');
  say('| workers, models | milestones, µs | order, µs | at 5,000 requests/s | one announcement, ms |');
  say('| --- | --- | --- | --- | --- |');
  const shown: { name: string; value: number }[] = [];
  for (const [workers, names] of [
    [10, 10],
    [100, 50],
    [1_000, 200],
  ] as const) {
    const it = placementCost(workers, names, 20_000);
    const both = it.hashUs + it.rankUs;
    const share = ((both * 5_000) / 1e6) * 100;
    say(
      `| ${workers}, ${names} | ${it.hashUs.toFixed(1)} | ${it.rankUs.toFixed(1)} | ${share.toFixed(1)} % of a processor | ${it.announceMs.toFixed(2)} |`,
    );
    shown.push({ name: `${workers} workers`, value: both });
  }
  writeFileSync(join(plots, 'cost.svg'), barPlot('Processor time of a choice', 'µs a request', shown));
  say('\n![Processor time of a choice](docs/placement/cost.svg)');
}

function publish(): void {
  const [begin, end] = ['<!-- sim:placement begin -->', '<!-- sim:placement end -->'];
  const path = join(root, 'BENCHMARKS.md');
  const page = readFileSync(path, 'utf8');
  const [before, after] = [page.indexOf(begin), page.indexOf(end)];
  if (before < 0 || after < 0) throw new Error(`${path} has no place for this: ${begin} … ${end}`);
  writeFileSync(path, `${page.slice(0, before + begin.length)}\n${lines.join('\n')}\n${page.slice(after)}`);
}

mkdirSync(plots, { recursive: true });
const commit = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
say(
  `Simulated ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC at commit \`${commit}\` on ${cpus().length} × ${cpus()[0]?.model.trim()}, load average ${loadavg()[0]?.toFixed(1)}; one box reads ${measured.prefillPerS} tokens/s, answers ${measured.decodePerS} tokens/s in each of 8 slots, and loads in ${measured.loadMs} ms.`,
);
await models();
await prefixes();
cost();
publish();
