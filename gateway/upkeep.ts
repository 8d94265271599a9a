// What any gateway sees to each second: workers know what they are beside others, and copies that do not pay go.
import type { Announcement } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Tell } from './forward.ts';
import { copiesTooMany } from './placement/copies.ts';
import type { Copy } from './placement/copies.ts';
import { weightsToTell } from './placement/weights.ts';
import type { WaitingRoom } from './waiting.ts';
import type { Roster } from './workers/roster.ts';

interface Options {
  roster: Pick<Roster, 'workers'>;
  room: Pick<WaitingRoom, 'all'>;
  tell: Tell;
  clock: Clock;
  log: Log;
}

/** Who was told acts at once; until it announces so it is not told again. */
const toldMs = 10_000;

export function createUpkeep({ roster, room, tell, clock, log }: Options): () => void {
  /** When each copy was first seen here, and when it was told to go. */
  const seen = new Map<string, { sinceMs: number; toldMs: number }>();
  const nameOf = ({ worker, model }: Copy) => JSON.stringify([worker.worker, worker.epoch, model]);

  function look(workers: readonly Announcement[]): void {
    const now = new Set<string>();
    for (const worker of workers) {
      for (const { name } of worker.models.filter(({ loaded }) => loaded)) {
        const copy = nameOf({ worker, model: name });
        now.add(copy);
        if (!seen.has(copy)) seen.set(copy, { sinceMs: clock.monotonic(), toldMs: -Infinity });
      }
    }
    for (const copy of seen.keys()) if (!now.has(copy)) seen.delete(copy);
  }

  return () => {
    const workers = roster.workers();
    look(workers);
    for (const { worker, weight } of weightsToTell(workers)) {
      void tell(worker.url, 'weigh', { epoch: worker.epoch, model: String(weight) });
    }
    const waited = new Set(room.all().flatMap(({ model, place }) => (place === null ? [] : [model])));
    const agedMs = (copy: Copy) => clock.monotonic() - (seen.get(nameOf(copy))?.sinceMs ?? Infinity);
    for (const copy of copiesTooMany(workers, agedMs, (model) => waited.has(model))) {
      const it = seen.get(nameOf(copy));
      if (it === undefined || clock.monotonic() - it.toldMs < toldMs) continue;
      it.toldMs = clock.monotonic();
      log.info('a copy does not pay any more', { model: copy.model, worker: copy.worker.worker });
      void tell(copy.worker.url, 'retire', { epoch: copy.worker.epoch, model: copy.model });
    }
  };
}
