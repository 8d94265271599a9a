// Names that stand for models, from a file that is looked at again and again: clients keep the names that they know.
import { readFile } from 'node:fs/promises';
import { fieldsOf, list, name, object, refuse } from '@berth/shared/dialects/check.ts';
import type { Check } from '@berth/shared/dialects/check.ts';
import { canonicalModel } from '@berth/shared/dialects/catalog.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Roster } from './workers/roster.ts';

/** One name, or all that a pattern fits, and the models that it may stand for, best first. */
interface Alias {
  name: string;
  fits: (asked: string) => boolean;
  isPattern: boolean;
  models: readonly string[];
}

export interface Aliases extends Disposable {
  /** The canonical name of the model that is meant: of an alias the first that a worker has, else the first of all. */
  modelOf(asked: string): string;
  /** Those that are names, not patterns. */
  names(): string[];
}

interface Options {
  /** `null` = no aliases. */
  path: string | null;
  roster: Pick<Roster, 'model'>;
  clock: Clock;
  log: Log;
}

/** How often the file is looked at. */
const lookEveryMs = 2_000;
const aliasesMax = 1_000;
const modelsMax = 16;

/**
 * Reads the file now, and again whenever it has changed. One that is damaged leaves the old aliases in use.
 * @throws Error that names the file and says what to do, for the first reading only
 */
export async function openAliases({ path, roster, clock, log }: Options): Promise<Aliases> {
  if (path === null) return { modelOf: canonicalModel, names: () => [], [Symbol.dispose]: () => {} };
  let text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new Error(`MODELS_FILE cannot be read: ${error.message}`, { cause: error });
  });
  let aliases = parseAliases(text, path);
  let told = '';
  let timer: Disposable | null = null;
  const look = async (): Promise<void> => {
    const now = await readFile(path, 'utf8');
    if (now === text) return;
    text = now;
    aliases = parseAliases(now, path);
    told = '';
    log.info('the aliases were read anew', { path, aliases: aliases.length });
  };
  const again = (): void => {
    timer = clock.after(lookEveryMs, () => {
      look()
        .catch(({ message }: Error) => {
          if (message !== told) log.error('the old aliases stay in use', { error: message });
          told = message;
        })
        .finally(() => timer && again());
    });
  };
  again();

  return {
    modelOf(asked) {
      const isThere = (model: string) => roster.model(model).length > 0;
      const wanted = canonicalModel(asked);
      const models = aliasFor(aliases, wanted, isThere)?.models ?? [wanted];
      return models.find(isThere) ?? models[0] ?? wanted;
    },
    names: () => aliases.filter(({ isPattern }) => !isPattern).map(({ name }) => name),
    [Symbol.dispose]() {
      timer?.[Symbol.dispose]();
      timer = null;
    },
  };
}

/** A name before a model of the same name, and a model before a pattern that fits it too. */
function aliasFor(aliases: readonly Alias[], wanted: string, isThere: (model: string) => boolean): Alias | undefined {
  const named = aliases.find(({ isPattern, fits }) => !isPattern && fits(wanted));
  if (named || isThere(wanted)) return named;
  return aliases.find(({ fits }) => fits(wanted));
}

/** `{"aliases": {"gpt-4o": ["qwen3:32b", "qwen3:8b"], "gpt-*": "llama3.2"}}`. @throws Error naming file and field */
export function parseAliases(text: string, path: string): Alias[] {
  try {
    const file = object(parseJson(Buffer.from(text)), '');
    const unknown = Object.keys(file).find((key) => key !== 'aliases');
    if (unknown !== undefined) refuse(unknown, 'is not known here: leave it out');
    const entries = Object.entries(fieldsOf(file, '').optional('aliases', object) ?? {});
    if (entries.length > aliasesMax) refuse('aliases', `has more than ${aliasesMax} entries`);
    return entries.map(([alias, models]) => aliasOf(alias, modelList(models, `aliases.${alias}`)));
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

const modelList: Check<string[]> = (value, path) => {
  const models = typeof value === 'string' ? [name(value, path)] : list(name, modelsMax)(value, path);
  return models.length > 0 ? models.map(canonicalModel) : refuse(path, 'must name a model');
};

function aliasOf(written: string, models: string[]): Alias {
  const alias = name(written, `aliases.${written}`);
  const isPattern = alias.includes('*');
  const canonical = canonicalModel(alias);
  const fits = (asked: string) =>
    isPattern ? fitsPattern(alias, asked) || fitsPattern(alias, asked.replace(/:latest$/, '')) : asked === canonical;
  return { name: alias, isPattern, models, fits };
}

/** A star stands for any text. In time that grows with the text alone, whatever the pattern. */
function fitsPattern(pattern: string, asked: string): boolean {
  const [first = '', ...others] = pattern.split('*');
  const last = others.pop() ?? '';
  let at = first.length;
  for (const part of others) {
    const found = asked.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return asked.startsWith(first) && asked.endsWith(last) && asked.length - last.length >= at;
}
