// Where the time of a request went, stage by stage. Pure.
import type { Stage } from './metric-families.ts';
import type { Record } from './settle.ts';

type Times = Pick<Record, 'understoodMs' | 'ledgerMs' | 'coldMs' | 'seatedMs' | 'settlement'>;

/**
 * Milliseconds of each stage; together they are the whole time of the request. Who waits while nobody serves its model
 * waits for the load, else for a slot; of a request that returned to the queue all the time up to its last slot counts
 * so. What the worker tells is bounded by what the gateway saw.
 */
export function spentMs(record: Times, arrivedMs: number, endedMs: number): { [S in Stage]: number } {
  const understoodMs = record.understoodMs ?? endedMs;
  const seatedMs = record.seatedMs ?? endedMs;
  const placingMs = Math.max(0, seatedMs - understoodMs);
  const ledger = Math.min(record.ledgerMs, placingMs);
  const cold = Math.min(record.coldMs, placingMs - ledger);
  let left = Math.max(0, endedMs - seatedMs);
  const take = (ms: number | undefined) => {
    const taken = Math.min(left, Math.max(0, ms ?? 0));
    left -= taken;
    return taken;
  };
  const { settlement } = record;
  const [prefill, decode] = [take(settlement?.prefillMs), take(settlement?.decodeMs)];
  // A worker tells the first request of a model the whole load, though it was over before that request had its slot.
  const load = cold + take((settlement?.loadMs ?? 0) - record.coldMs);
  return {
    intake: understoodMs - arrivedMs,
    ledger,
    queue: placingMs - ledger - cold,
    load,
    prefill,
    decode,
    delivery: left,
  };
}
