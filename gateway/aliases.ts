// Names that stand for models, from MODELS_FILE: clients keep the names that they know.
import { canonicalModel } from '@berth/shared/dialects/catalog.ts';
import type { AliasEntry, KeptModelsFile } from '@berth/shared/models-file.ts';
import type { Roster } from './workers/roster.ts';

interface Alias extends AliasEntry {
  /** The name itself, or all that the pattern fits. */
  fits: (asked: string) => boolean;
  isPattern: boolean;
}

export interface Aliases {
  /** The canonical name of the model that is meant: of an alias the first that a worker has, or had a moment ago, else the first of all. */
  modelOf(asked: string): string;
  /** Those that are names, not patterns. */
  names(): string[];
}

/** A file's names, as they are now. */
export function createAliases(
  file: Pick<KeptModelsFile, 'current'>,
  roster: Pick<Roster, 'model' | 'expected'>,
): Aliases {
  let made: { from: readonly AliasEntry[]; aliases: Alias[] } = { from: [], aliases: [] };
  const aliases = (): Alias[] => {
    const from = file.current().aliases;
    if (from !== made.from) made = { from, aliases: from.map(aliasOf) };
    return made.aliases;
  };
  return {
    modelOf(asked) {
      const isThere = (model: string) => roster.model(model).length > 0;
      const wanted = canonicalModel(asked);
      const models = aliasFor(aliases(), wanted, isThere)?.models ?? [wanted];
      const isExpected = (model: string) => roster.expected(model).length > 0;
      return models.find(isThere) ?? models.find(isExpected) ?? models[0] ?? wanted;
    },
    names: () =>
      aliases()
        .filter(({ isPattern }) => !isPattern)
        .map(({ name }) => name),
  };
}

/** A name before a model of the same name, and a model before a pattern that fits it too. */
function aliasFor(aliases: readonly Alias[], wanted: string, isThere: (model: string) => boolean): Alias | undefined {
  const named = aliases.find(({ isPattern, fits }) => !isPattern && fits(wanted));
  if (named || isThere(wanted)) return named;
  return aliases.find(({ fits }) => fits(wanted));
}

export function aliasOf({ name, models }: AliasEntry): Alias {
  const isPattern = name.includes('*');
  const canonical = canonicalModel(name);
  const fits = (asked: string) =>
    isPattern ? fitsPattern(name, asked) || fitsPattern(name, asked.replace(/:latest$/, '')) : asked === canonical;
  return { name, isPattern, models, fits };
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
