// Which copy of a model is too many: it is hardly used, and its use fits on the others. Pure.
import type { Announcement } from '@berth/shared/announcement.ts';

/** A copy stays for this long at least, so that a queue which comes and goes does not load it again and again. */
export const copyMsMin = 300_000;
/** One worker has to have so many times the slots that all copies use: whoever needs the room takes it anyway. */
const spare = 8;

export interface Copy {
  worker: Announcement;
  model: string;
}

/**
 * At most one copy of each model: that on the worker whose name comes last, so that gateways which see the same copies
 * name the same one, and never all of them.
 * @param agedMs since when this gateway has seen the copy
 * @param isWaited requests wait for the model
 */
export function copiesTooMany(
  workers: readonly Announcement[],
  agedMs: (copy: Copy) => number,
  isWaited: (model: string) => boolean,
): Copy[] {
  const all = workers
    .filter(({ state }) => state === 'ready')
    .flatMap((worker) => worker.models.filter(({ loaded }) => loaded).map((card) => ({ worker, card })));
  return [...Map.groupBy(all, ({ card }) => card.name)].flatMap(([model, copies]) => {
    const last = copies.toSorted((a, b) => (a.worker.worker < b.worker.worker ? -1 : 1)).at(-1);
    if (copies.length < 2 || last === undefined || last.card.pinned === true || isWaited(model)) return [];
    const copy = { worker: last.worker, model };
    const used = copies.reduce((sum, { card }) => sum + (card.heat ?? 0), 0);
    const slots = Math.min(...copies.map(({ worker }) => worker.slots));
    return used * spare <= slots && agedMs(copy) >= copyMsMin ? [copy] : [];
  });
}
