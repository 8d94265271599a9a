// The copies of a model that a caller may know of, by whatever name it has for it.
import { canonicalModel } from '@berth/shared/dialects/catalog.ts';
import type { Aliases } from '../aliases.ts';
import { sees } from '../policy/key.ts';
import type { Rights } from '../policy/key.ts';
import type { Roster } from '../workers/roster.ts';

export interface Shelf {
  roster: Roster;
  aliases: Aliases;
}

/** One for each worker that has it; none when there is no such model for this caller. */
export function copiesFor(asked: string, rights: Rights, { roster, aliases }: Shelf): ReturnType<Roster['model']> {
  const model = aliases.modelOf(asked);
  return sees(rights, model) || sees(rights, canonicalModel(asked)) ? roster.model(model) : [];
}
