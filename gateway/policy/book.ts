// The book of keys: what every gateway knows of them, and how they are made, replaced and revoked.
import { hash, randomBytes } from 'node:crypto';
import type { Clock } from '@berth/shared/clock.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { allRights, excessOf, readKey, readWish, writeKey } from './key.ts';
import type { Caller, Key, Most } from './key.ts';
import type { Registers } from './registers.ts';

export interface KeyBook {
  /** True once there was a key, revoked ones included: from then on nobody comes in without one. */
  readonly used: boolean;
  get(id: string): Key | undefined;
  list(): Key[];
  /** @returns the key and its secret, which nobody can tell again @throws Refusal `bad_request`, `forbidden` */
  create(body: unknown, by: Caller): Promise<{ key: Key; secret: string }>;
  /** @throws Refusal `not_found`, `forbidden` */
  rotate(id: string, overlapMs: number, by: Caller): Promise<{ key: Key; secret: string }>;
  /** @throws Refusal `not_found`, `forbidden` for a key that may do more, `bad_request` for its own */
  revoke(id: string, by: Caller): Promise<Key>;
  /** Takes over keys as `list` gave them. @throws Refusal naming the first that cannot be taken, and takes none */
  import(keys: readonly unknown[], by: Caller): Promise<number>;
}

/** Most keys, revoked ones included. */
export const keysMax = 10_000;
/** A revocation outranks whatever another gateway changed meanwhile. */
const revocation = 1_000_000;

export function createKeyBook({ registers, clock }: { registers: Registers; clock: Clock }): KeyBook {
  // Reading a record costs more than finding it, and every request needs its key.
  const read = new WeakMap<object, Key>();
  const get = (id: string): Key | undefined => {
    const entry = registers.get(id);
    if (!entry) return undefined;
    const known = read.get(entry) ?? readKey(entry.value);
    read.set(entry, known);
    return known;
  };
  const write = async (key: Key, step = 1): Promise<void> => {
    const revision = (registers.get(key.id)?.revision ?? 0) + step;
    registers.put(key.id, { revision, value: writeKey(key) });
    await registers.flush();
  };
  const existing = (id: string): Key => {
    const key = get(id);
    if (!key) throw new Refusal('key_not_found', 'there is no key with this id');
    return key;
  };
  const ceiling = (by: Caller): Most => ({
    ...by.rights,
    expiresMs: get(by.id)?.expiresMs ?? null,
    endUserHeader: get(by.id)?.endUserHeader ?? null,
  });

  return {
    get used() {
      return registers.size > 0;
    },
    get,
    list: () => registers.entries().flatMap(([id]) => get(id) ?? []),
    async create(body, by) {
      if (registers.size >= keysMax) throw new Refusal('bad_request', `there are ${keysMax} keys already`);
      const wish = readWish(body, by.rights);
      if (!this.used && by.id === 'anyone' && !wish.scopes.includes('admin')) {
        throw new Refusal(
          'bad_request',
          'the first key closes the door: give it the scope admin, or nobody can get in',
        );
      }
      const most = ceiling(by);
      const key = { ...wish, expiresMs: wish.expiresMs ?? most.expiresMs, createdBy: by.id };
      refuseExcess(key, by, most);
      const { id, secret, digest } = freshSecret();
      const made: Key = { ...key, id, digest, createdMs: clock.now() };
      await write(made);
      return { key: made, secret };
    },
    async rotate(id, overlapMs, by) {
      const old = existing(id);
      if (old.revokedMs !== null) throw new Refusal('bad_request', 'this key was revoked: make a new one');
      refuseExcess(old, by, ceiling(by));
      const { secret, digest } = freshSecret(id);
      const previous = overlapMs > 0 ? { digest: old.digest, untilMs: clock.now() + overlapMs } : null;
      const key = { ...old, digest, previous };
      await write(key);
      return { key, secret };
    },
    async revoke(id, by) {
      const known = existing(id);
      if (id === by.id) throw new Refusal('bad_request', 'a key cannot revoke itself: use another, or rotate it');
      refuseToEnd(known, by, ceiling(by));
      const key = { ...known, revokedMs: known.revokedMs ?? clock.now() };
      await write(key, revocation);
      return key;
    },
    async import(values, by) {
      const keys = values.map(readKey);
      const news = keys.filter((key) => JSON.stringify(writeKey(key)) !== JSON.stringify(registers.get(key.id)?.value));
      if (registers.size + news.length > keysMax) throw new Refusal('bad_request', `at most ${keysMax} keys are kept`);
      for (const key of news) {
        refuseExcess(key, by, ceiling(by));
        const known = get(key.id);
        if (known) refuseExcess(known, by, ceiling(by));
        if (known && known.revokedMs !== null && key.revokedMs === null) {
          throw new Refusal('bad_request', `the key ${key.id} was revoked: it cannot come back, make a new one`);
        }
      }
      for (const key of news) await write(key, key.revokedMs === null ? 1 : revocation);
      return news.length;
    },
  };
}

function refuseExcess(key: Most, by: Caller, most: Most): void {
  // Who has the key of the settings made the pool: nothing exceeds it.
  const field = by.rights === allRights ? null : excessOf(key, most);
  if (field === null) return;
  throw new Refusal('forbidden', `${field} would be more than the key ${by.id} has itself`, { param: field });
}

/** How long it lasts and whose users it names is no reason: a leaked key is to be ended by whoever may do as much. */
function refuseToEnd(key: Key, by: Caller, most: Most): void {
  const { expiresMs } = most;
  const field = by.rights === allRights ? null : excessOf({ ...key, expiresMs, endUserHeader: null }, most);
  if (field === null) return;
  const why = `the key ${key.id} may do more than the key ${by.id} (${field}): only one that may do as much can revoke it`;
  throw new Refusal('forbidden', why, { param: field });
}

/** A key to hand out, and what is kept of it. */
function freshSecret(id = randomBytes(6).toString('hex')): { id: string; secret: string; digest: string } {
  const secret = `berth_${id}.${randomBytes(24).toString('base64url')}`;
  return { id, secret, digest: hash('sha256', secret, 'hex') };
}
