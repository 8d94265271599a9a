// MODELS_FILE: other names for models, and how single models are run. Read by gateways and workers alike, again and again.
import { readFile } from 'node:fs/promises';
import type { Clock } from './clock.ts';
import { canonicalModel } from './dialects/catalog.ts';
import { fieldsOf, flag, integer, list, name, number, object, refuse, text, textUpTo } from './dialects/check.ts';
import type { Check, Fields } from './dialects/check.ts';
import { parseJson } from './dialects/json.ts';
import { keepAlive } from './dialects/keep-alive.ts';
import { ollamaParameters, parseOllamaParameters } from './dialects/ollama.ts';
import type { Log } from './log.ts';
import type { KeepAliveMs, Sampling } from './request.ts';

/** A small model's weights that are added to a large one's. */
export interface Adapter {
  /** As written in the file: relative to its folder. */
  path: string;
  scale: number;
}

/** How one model is run; what is left out is as the worker's settings say. */
export interface ModelSettings {
  /** Tokens of one slot. */
  contextTokens?: number;
  /** Most requests that it runs at once. */
  slots?: number;
  keepAliveMs?: KeepAliveMs;
  /** Once loaded it stays: neither idle time nor another model unloads it. */
  pinned?: boolean;
  /** Loaded when the worker starts, while there is room. */
  preload?: boolean;
  /** Jinja, in place of the model file's own template. */
  template?: string;
  templateFile?: string;
  adapters?: readonly Adapter[];
  /** NVIDIA GPUs that it is spread over, as in GPU; only the worker of the first of them loads it. */
  gpus?: string;
  /** Layers on the GPU, the others stay with the processor. */
  gpuLayers?: number;
  /** Where a request says nothing. */
  sampling?: Sampling;
  stop?: readonly string[];
  system?: string;
}

/** One name, or a pattern, and the models that it may stand for, best first. */
export interface AliasEntry {
  name: string;
  models: readonly string[];
}

export interface ModelsFile {
  aliases: readonly AliasEntry[];
  /** By canonical name. */
  models: ReadonlyMap<string, ModelSettings>;
}

const aliasesMax = 1_000;
const modelsMax = 1_000;
const fallbacksMax = 16;
const adaptersMax = 8;
const textCharsMax = 256 * 1_024;
const pathText = textUpTo(4_096);

/**
 * `{"aliases": {"gpt-4o": ["qwen3:32b", "qwen3:8b"]}, "models": {"qwen3:8b": {"context": 8192, "pinned": true}}}`.
 * @throws Error naming file and field
 */
export function parseModelsFile(source: string, path: string): ModelsFile {
  try {
    const file = known(parseJson(Buffer.from(source)), '', ['aliases', 'models']);
    const aliases = entriesOf(file, 'aliases', aliasesMax);
    const models = entriesOf(file, 'models', modelsMax).map(
      ([model, value]) => [modelKey(model), settingsOf(value, `models.${model}`)] as const,
    );
    const twice = models.find(([model], index) => models.findIndex(([other]) => other === model) !== index);
    if (twice !== undefined) refuse(`models.${twice[0]}`, 'is there twice');
    return {
      aliases: aliases.map(([alias, value]) => ({
        name: name(alias, `aliases.${alias}`),
        models: modelList(value, `aliases.${alias}`),
      })),
      models: new Map(models),
    };
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

function entriesOf(file: Fields, key: string, countMax: number): [string, unknown][] {
  const entries = Object.entries(file.optional(key, object) ?? {});
  return entries.length > countMax ? refuse(key, `has more than ${countMax} entries`) : entries;
}

/** An object with these keys and no others: a typing error must not go unnoticed. */
function known(value: unknown, path: string, keys: readonly string[]): Fields {
  const fields = fieldsOf(value, path);
  const stranger = Object.keys(object(value, path)).find((key) => !keys.includes(key));
  if (stranger !== undefined) refuse(fields.pathOf(stranger), `is not known here: leave it out (${keys.join(', ')})`);
  return fields;
}

function modelKey(written: string): string {
  return canonicalModel(name(written, `models.${written}`));
}

const modelList: Check<string[]> = (value, path) => {
  const models = typeof value === 'string' ? [name(value, path)] : list(name, fallbacksMax)(value, path);
  return models.length > 0 ? models.map(canonicalModel) : refuse(path, 'must name a model');
};

const settingKeys =
  'context slots keepAlive pinned preload template templateFile adapters gpus gpuLayers parameters system'.split(' ');

function settingsOf(value: unknown, path: string): ModelSettings {
  const at = known(value, path, settingKeys);
  const parameters = at.optional('parameters', (given, where) => {
    known(given, where, ollamaParameters);
    return parseOllamaParameters(given, where);
  });
  const found = {
    contextTokens: at.optional('context', integer(64, 16_777_216)),
    slots: at.optional('slots', integer(1, 256)),
    keepAliveMs: at.optional('keepAlive', keepAlive),
    pinned: at.optional('pinned', flag),
    preload: at.optional('preload', flag),
    template: at.optional('template', textUpTo(textCharsMax)),
    templateFile: at.optional('templateFile', pathText),
    adapters: at.optional('adapters', list(adapter, adaptersMax)),
    gpus: at.optional('gpus', gpuSet),
    gpuLayers: at.optional('gpuLayers', integer(0, 10_000)),
    sampling: parameters && parameters.sampling,
    stop: parameters && parameters.stop,
    system: at.optional('system', textUpTo(textCharsMax)),
  };
  if (found.template !== null && found.templateFile !== null)
    refuse(at.pathOf('templateFile'), 'and template exclude each other: leave one out');
  return Object.fromEntries(Object.entries(found).filter(([, setting]) => setting !== null));
}

const adapter: Check<Adapter> = (value, path) => {
  if (typeof value === 'string') return { path: pathText(value, path), scale: 1 };
  const at = known(value, path, ['file', 'scale']);
  return { path: at.required('file', pathText), scale: at.optional('scale', number(-100, 100)) ?? 1 };
};

const gpuSet: Check<string> = (value, path) => {
  const read = text(value, path);
  return /^(\d+|(GPU|MIG)-[\w/-]+)(,(\d+|(GPU|MIG)-[\w/-]+))*$/.test(read)
    ? read
    : refuse(path, 'must be NVIDIA GPUs such as "0,1"');
};

export interface KeptModelsFile extends Disposable {
  /** What holds now. */
  current(): ModelsFile;
  /** Why what the file says now does not hold; `null` = it does. */
  problem(): string | null;
}

/** How often the file is looked at. */
const lookEveryMs = 2_000;

interface Options {
  /** `null` = there is none. */
  path: string | null;
  clock: Clock;
  log: Log;
  /** It says something else now, or is damaged, or is whole again. */
  onChange?: () => void;
}

/**
 * Reads the file now, and again whenever it has changed. One that is damaged leaves the old settings in use.
 * @throws Error that names the file and says what to do, for the first reading only
 */
export async function openModelsFile({ path, clock, log, onChange }: Options): Promise<KeptModelsFile> {
  const nothing: ModelsFile = { aliases: [], models: new Map() };
  if (path === null) return { current: () => nothing, problem: () => null, [Symbol.dispose]: () => {} };
  let source = await readFile(path, 'utf8').catch((error: Error) => {
    throw new Error(`MODELS_FILE cannot be read: ${error.message}`, { cause: error });
  });
  let current = parseModelsFile(source, path);
  let problem: string | null = null;
  let timer: Disposable | null = null;
  const look = async (): Promise<void> => {
    const now = await readFile(path, 'utf8');
    if (now === source && problem === null) return;
    source = now;
    current = parseModelsFile(now, path);
    problem = null;
    log.info('the models file was read anew', { path, aliases: current.aliases.length, models: current.models.size });
    onChange?.();
  };
  const again = (): void => {
    timer = clock.after(lookEveryMs, () => {
      look()
        .catch(({ message }: Error) => {
          if (message === problem) return;
          problem = message;
          log.error('the old names and settings of models stay in use', { error: message });
          onChange?.();
        })
        .finally(() => timer && again());
    });
  };
  again();
  return {
    current: () => current,
    problem: () => problem,
    [Symbol.dispose]() {
      timer?.[Symbol.dispose]();
      timer = null;
    },
  };
}
