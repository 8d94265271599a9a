// Whether the model files can be used, and whether each fits into the memory of this machine.
import { fileURLToPath } from 'node:url';
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import { openModelsFile } from '@berth/shared/models-file.ts';
import { createCatalog } from '../../worker/models/catalog.ts';
import type { Model } from '../../worker/models/catalog.ts';
import { createChecker } from '../../worker/models/checker.ts';
import type { WorkerSettings } from '../../worker/settings.ts';
import { good, problem, size, warning } from './finding.ts';
import type { Finding } from './finding.ts';

const subject = 'models';
const demoPath = fileURLToPath(new URL('../../worker/models/demo/berth-demo.gguf', import.meta.url));

/** @param memoryBytes of the GPU where there is one, else of the machine */
export async function checkModels(
  { modelsDir, modelsFile }: Pick<WorkerSettings, 'modelsDir' | 'modelsFile'>,
  memoryBytes: number,
  clock: Clock,
): Promise<Finding[]> {
  if (modelsDir === null) {
    const advice = 'set MODELS_DIR to a folder with .gguf files, or to one file';
    return [warning(subject, 'MODELS_DIR is not set: only the demo model is served', advice)];
  }
  // The worker's own eyes and words: what it complains of is what is wrong.
  const said = new Set<string>();
  const hear = (message: string, fields = {}) => void said.add([message, ...Object.values(fields)].join(', '));
  const log: Log = { debug: () => {}, info: () => {}, warn: hear, error: hear };
  const settings = await readModelsFile(modelsFile, clock, log);
  if (settings.fault !== null) said.add(settings.fault);
  using file = settings.file;
  using checker = createChecker({ clock });
  const catalog = createCatalog({
    modelsDir,
    demoPath,
    check: checker.check,
    ...(file && { modelsFile: { path: modelsFile ?? '', file } }),
    clock,
    log,
  });
  await catalog.scan();
  const there = new Set(catalog.models().map(({ name }) => name));
  const idle = [...(file?.current().models.keys() ?? [])].filter((name) => !there.has(name));
  const advice = 'put a whole .gguf file there, or correct MODELS_DIR or MODELS_FILE';
  return [
    ...Array.from(said, (each) => problem(subject, each, advice)),
    ...idle.map((name) => warning(subject, `MODELS_FILE speaks of ${name}, which is not here`, 'correct its name')),
    ...catalog.models().flatMap((model) => (model.path === demoPath ? [] : [judgeModel(model, memoryBytes)])),
  ];
}

/** As the worker reads it at its start. */
async function readModelsFile(path: string | null, clock: Clock, log: Log) {
  try {
    return { file: path === null ? null : await openModelsFile({ path, clock, log }), fault: null };
  } catch (error) {
    return { file: null, fault: (error as Error).message };
  }
}

export function judgeModel({ name, sizeBytes }: Pick<Model, 'name' | 'sizeBytes'>, memoryBytes: number): Finding {
  const found = `${name}, ${size(sizeBytes)}`;
  if (sizeBytes <= memoryBytes) return good(subject, found);
  const advice = `${size(memoryBytes)} of memory are not enough: take a smaller quantization`;
  return problem(subject, found, advice);
}
