// What the ledger accepts. Both implementations pass every input through here first, so they see the same one.
import type { Beat, Claim, Leave, Session, Take } from './ledger.ts';

/** Longest name (id, model, team, key, worker, gateway) in UTF-16 units. */
export const nameCharsMax = 512;
/** A model takes some 450 bytes in it: room for about 1,000 of them. */
export const announcementBytesMax = 512 * 1_024;
export const preferMax = 4;
export const excludeMax = 8;
/** Most models that a worker serves, most leases that it runs, most tickets of a gateway. */
export const servesMax = 256;
export const runningMax = 1_024;
export const ticketsMax = 4_096;
/** Most slots of one worker. */
export const capacityMax = 1_024;
/** A cost beyond a week of one slot is a mistake. */
const slotSecondsMax = 604_800;

/** @throws RangeError when a name is too long */
export function boundTake(input: Take): Take {
  checkNames('name', [input.id, input.gateway, input.model, input.team, input.key]);
  return {
    ...input,
    weight: weightOf(input.weight),
    cost: slotSeconds(input.cost),
    age: input.age === null || !Number.isFinite(input.age) ? null : Math.floor(input.age),
    waitingMax: count(input.waitingMax),
    waitingPerKeyMax: count(input.waitingPerKeyMax),
    slack: input.slack > 0 ? Math.min(input.slack, 1e9) : 0,
    prefer: input.prefer.slice(0, preferMax),
    exclude: input.exclude.slice(0, excludeMax),
  };
}

/** @throws RangeError when the id is too long */
export function boundLeave(input: Leave): Leave {
  checkNames('id', [input.id]);
  return { ...input, actual: input.actual === null ? null : slotSeconds(input.actual) };
}

/** @throws RangeError when a name or the list is too long */
export function boundSession(input: Session): Session {
  checkNames('gateway or ticket', [input.gateway, ...input.tickets]);
  checkLength('tickets', input.tickets.length, ticketsMax);
  return { ...input, tickets: [...new Set(input.tickets)], rosterVersion: count(input.rosterVersion) };
}

/** @throws RangeError when a name is too long */
export function boundClaim(input: Claim): Claim {
  checkNames('name', [input.gateway, input.model, input.worker, input.epoch, input.victim]);
  return { ...input, rosterVersion: count(input.rosterVersion), servers: count(input.servers) };
}

/** @throws RangeError when a name, a list or the announcement is too long */
export function boundBeat(input: Beat): Beat {
  checkLength('served models', input.serves.length, servesMax);
  checkLength('running leases', input.running.length, runningMax);
  checkLength('bytes of announcement', Buffer.byteLength(input.announcement), announcementBytesMax);
  checkNames('name', [input.worker, input.epoch, ...input.serves]);
  if (input.loading) checkNames('model', [input.loading.model, input.loading.victim]);
  for (const lease of input.running) checkNames('name', [lease.id, lease.model, lease.team, lease.key, lease.gateway]);
  return {
    ...input,
    capacity: Math.min(count(input.capacity), capacityMax),
    weight: input.weight > 0 && Number.isFinite(input.weight) ? input.weight : 1,
    serves: [...new Set(input.serves)],
    loading: input.loading ?? null,
  };
}

/** A cost that arithmetic can bear: not a number and below nothing are nothing. */
function slotSeconds(value: number): number {
  return value > 0 ? Math.min(value, slotSecondsMax) : 0;
}

/** A share between a hundredth and a hundredfold; nonsense is 1. */
function weightOf(value: number): number {
  return value > 0 ? Math.min(100, Math.max(0.01, value)) : 1;
}

/** A whole number from 0 to the largest that is exact. */
function count(value: number): number {
  return value > 0 ? Math.floor(Math.min(value, Number.MAX_SAFE_INTEGER)) : 0;
}

function checkNames(what: string, names: readonly string[]): void {
  for (const name of names) checkLength(`characters of a ${what}`, name.length, nameCharsMax);
}

function checkLength(what: string, length: number, most: number): void {
  if (length > most) throw new RangeError(`the ledger takes at most ${most} ${what}, not ${length}`);
}
