// Hundreds of damaged model files by the way of production: checked in a process of their own, loaded in another. None
// ends the worker, whose part this test's process plays. `npm run corpus` loads all that pass the check, not only a few.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { EngineDied } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import { createCatalog } from '../../../worker/models/catalog.ts';
import type { Model } from '../../../worker/models/catalog.ts';
import { createChecker } from '../../../worker/models/checker.ts';
import type { Checker } from '../../../worker/models/checker.ts';
import { createResidency } from '../../../worker/models/residency.ts';
import type { Residency } from '../../../worker/models/residency.ts';
import { goodModel } from '../../models/broken.ts';
import { corpus } from '../../models/corpus.ts';
import { ggufBytes } from '../../models/gguf.ts';
import { aRawRequest, collect, unaborted } from '../requests.ts';

const seeds = Number(process.env['CORPUS'] ?? 1_000);
const loadsMax = process.env['CORPUS'] === undefined ? 4 : Infinity;
const batch = 100;

type Ending = 'refused by the check' | 'refused by the load' | 'died' | 'answered';

const complaints: string[] = [];
const quiet = (): void => undefined;
const log: Log = { debug: quiet, info: quiet, warn: quiet, error: (line) => void complaints.push(line) };

function aResidency(): Residency {
  const engine = { contextTokens: 256, slots: 2, threads: 1, gpu: false } as const;
  const open = llamaEngines({ env: process.env });
  return createResidency({ open, engine, loadedMax: 1, keepAliveMs: 0, clock: systemClock, log, onEvent: quiet });
}

/** What becomes of a file that passed the check. Anything but a refusal, a death or an answer fails the test. */
async function loaded(residency: Residency, model: Model): Promise<Ending> {
  try {
    using use = await residency.use(model, 0, unaborted());
    await collect(use.engine, aRawRequest('ba be', { maxTokens: 4 }));
    return 'answered';
  } catch (error) {
    if (error instanceof EngineDied) return 'died';
    if (error instanceof Refusal) return 'refused by the load';
    throw error;
  }
}

async function checked(checker: Checker, folder: string): Promise<Model[]> {
  const catalog = createCatalog({ modelsDir: folder, demoPath: '', check: checker.check, clock: systemClock, log });
  await catalog.scan();
  return catalog.models();
}

test('no damaged file ends the worker', { timeout: 3_600_000 }, async () => {
  const root = await mkdtemp(join(tmpdir(), 'berth-corpus-'));
  using checker = createChecker({ clock: systemClock });
  const residency = aResidency();
  const make = corpus();
  const endings: Record<string, number> = {};
  const count = (ending: Ending, times = 1): void => void (endings[ending] = (endings[ending] ?? 0) + times);
  const perRegion = new Set<string>();
  let loads = 0;
  try {
    for (let from = 0; from < seeds; from += batch) {
      const folder = join(root, String(from));
      await mkdir(folder);
      for (let seed = from; seed < from + batch; seed += 1) {
        const { name, bytes } = make(seed);
        await writeFile(join(folder, `${name}.gguf`), bytes);
      }
      const models = await checked(checker, folder);
      count('refused by the check', batch - models.length);
      for (const model of models) {
        perRegion.add(model.name.replace(/.*-|:.*/g, ''));
        if ((loads += 1) <= loadsMax) count(await loaded(residency, model));
      }
      await rm(folder, { recursive: true });
    }
    if (loadsMax === Infinity) console.log(`${seeds} damaged files:`, endings);
    expect(endings['refused by the check']).toBeGreaterThan(seeds / 4);
    expect([...perRegion]).toEqual(expect.arrayContaining(['keys', 'tensors', 'values']));
    const good = join(root, 'good');
    await mkdir(good);
    await writeFile(join(good, 'good.gguf'), ggufBytes(goodModel()));
    const [model] = await checked(checker, good);
    expect(await loaded(residency, model!)).toBe('answered');
  } finally {
    await residency.close();
    await rm(root, { recursive: true, force: true });
  }
});
