// Where the time of a request went, stage by stage. Pure.
import type { Stage } from './metric-families.ts';
import type { Record } from './settle.ts';

type Times = Pick<Record, 'understoodMs' | 'ledgerMs' | 'seatedMs' | 'settlement'>;

/**
 * Milliseconds of each stage; together they are the whole time of the request. Of one that returned to the queue, the
 * time up to its last slot counts as queue. What the worker tells is bounded by what the gateway saw.
 */
export function spentMs(record: Times, arrivedMs: number, endedMs: number): { [S in Stage]: number } {
  const understoodMs = record.understoodMs ?? endedMs;
  const seatedMs = record.seatedMs ?? endedMs;
  const placingMs = Math.max(0, seatedMs - understoodMs);
  const ledger = Math.min(record.ledgerMs, placingMs);
  let left = Math.max(0, endedMs - seatedMs);
  const take = (ms: number | undefined) => {
    const taken = Math.min(left, Math.max(0, ms ?? 0));
    left -= taken;
    return taken;
  };
  const { settlement } = record;
  return {
    intake: understoodMs - arrivedMs,
    ledger,
    queue: placingMs - ledger,
    load: take(settlement?.loadMs),
    prefill: take(settlement?.prefillMs),
    decode: take(settlement?.decodeMs),
    delivery: left,
  };
}
