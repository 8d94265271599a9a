// Named values that every gateway holds whole, in memory and in a file, and that Redis only carries between them.
import { readFileSync } from 'node:fs';
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Random } from '@berth/shared/random.ts';
import { readEntries, writeEntries } from './file.ts';

/** One value; of two with the same name the higher revision wins, everywhere. */
export interface Entry {
  revision: number;
  /** What JSON can carry. */
  value: unknown;
}

export interface Registers extends AsyncDisposable {
  get(name: string): Entry | undefined;
  entries(): [string, Entry][];
  readonly size: number;
  /** Holds at once here; `flush` tells the others. A revision that is not higher is ignored. */
  put(name: string, entry: Entry): void;
  /** To the file and to Redis; what fails is tried again later. @throws Error when neither keeps it */
  flush(): Promise<void>;
}

/** What is needed of Redis. */
interface Carrier {
  command(name: string, ...args: (string | number)[]): Promise<unknown>;
  get(name: string): Promise<string | null>;
}

export interface RegistersOptions {
  /** `null` = in memory only. */
  path: string | null;
  /** `null` = this gateway is alone. */
  carrier: Carrier | null;
  /** Where Redis has them: `<prefix>` and `<prefix>:v`. */
  prefix: string;
  /** How often Redis is looked at. */
  everyMs: number;
  /** @throws when the value is none of these: it is not taken */
  check: (value: unknown) => void;
  /** What is over and may be dropped everywhere; nothing unless it is said. */
  isKept?: (name: string, value: unknown) => boolean;
  clock: Clock;
  random: Random;
  log: Log;
}

const script = readFileSync(new URL('lua/put.lua', import.meta.url), 'utf8');
/** Entries in one command. */
const batchMax = 200;

/**
 * 1. What any gateway has and Redis lacks, it puts back: an emptied Redis is whole again within one look.
 * 2. Between equal revisions Redis's value holds, so that all gateways end with the same.
 * 3. Nothing is deleted unless all can see that it is over: a gateway that was away would bring it back.
 * @throws Error when the file is there and cannot be read: an empty book would open the door or lock everyone out
 */
export async function openRegisters(options: RegistersOptions): Promise<Registers> {
  const { path, carrier, prefix, everyMs, check, isKept = () => true, clock, random, log } = options;
  const held = new Map<string, Entry>();
  const unsaved = new Set<string>();
  const untold = new Set<string>();
  let seen: string | null = null;
  let closed = false;
  let unwritten = false;
  let timer: Disposable | undefined;

  if (path !== null) {
    for (const [name, entry] of await readEntries(path)) {
      try {
        take(name, entry, true);
      } catch (error) {
        throw new Error(`${path} is damaged at ${name}: ${(error as Error).message}`, { cause: error });
      }
    }
  }
  unsaved.clear();

  /** @returns true when it is news */
  function take(name: string, entry: Entry, tell: boolean): boolean {
    if (!isKept(name, entry.value)) return false;
    const known = held.get(name);
    if (known && known.revision >= entry.revision && (tell || !differs(known, entry))) return false;
    if (known && known.revision > entry.revision) return false;
    check(entry.value);
    held.set(name, entry);
    unsaved.add(name);
    if (tell) untold.add(name);
    else untold.delete(name);
    return true;
  }

  async function pull(from: Carrier): Promise<void> {
    const token = await from.get(`${prefix}:v`);
    if (token !== null && token === seen) return;
    const fields = (await from.command('HGETALL', prefix)) as string[];
    const there = new Map<string, number>();
    for (let at = 0; at + 1 < fields.length; at += 2) {
      const [name = '', text = ''] = fields.slice(at, at + 2);
      const entry = decode(text);
      if (!entry) continue;
      if (!isKept(name, entry.value)) {
        await from.command('HDEL', prefix, name); // 3
        continue;
      }
      there.set(name, entry.revision);
      try {
        take(name, entry, false); // 2
      } catch (error) {
        log.warn('an entry in Redis is not taken', { prefix, name, error: String(error) });
      }
    }
    for (const [name, { revision }] of held) if ((there.get(name) ?? -1) < revision) untold.add(name); // 1
    seen = token;
  }

  async function push(to: Carrier): Promise<void> {
    while (untold.size > 0) {
      const names = [...untold].slice(0, batchMax);
      const pairs = names.flatMap((name) => {
        const entry = held.get(name);
        return entry ? [name, encode(entry)] : [];
      });
      for (const name of names) untold.delete(name);
      try {
        await to.command('EVAL', script, 2, prefix, `${prefix}:v`, random.id(), ...pairs);
      } catch (error) {
        for (const name of names) untold.add(name);
        throw error;
      }
    }
  }

  async function save(): Promise<void> {
    if (path === null || unsaved.size === 0) return;
    const names = [...unsaved];
    unsaved.clear();
    try {
      await writeEntries(path, held);
    } catch (error) {
      for (const name of names) unsaved.add(name);
      throw error;
    }
  }

  function forget(): void {
    for (const [name, { value }] of held) if (!isKept(name, value)) held.delete(name); // 3
  }

  async function look(): Promise<void> {
    forget();
    if (carrier) {
      await pull(carrier).catch(() => {});
      await push(carrier).catch(() => {});
    }
    await save().then(
      () => (unwritten = false),
      (error: unknown) => {
        if (!unwritten) log.error('policy is not written to its file: see STATE_DIR', { path, error: String(error) });
        unwritten = true;
      },
    );
  }

  const loop = async (): Promise<void> => {
    await look();
    if (!closed) timer = clock.after(everyMs, () => void loop());
  };
  await loop();

  return {
    get: (name) => held.get(name),
    entries: () => [...held],
    get size() {
      return held.size;
    },
    put: (name, entry) => void take(name, entry, true),
    async flush() {
      const saved = save();
      const kept = await Promise.allSettled([saved, carrier ? push(carrier) : saved]);
      if (kept.every(({ status }) => status === 'rejected')) await saved;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      timer?.[Symbol.dispose]();
      await look();
    },
  };
}

function differs(a: Entry, b: Entry): boolean {
  return JSON.stringify(a.value) !== JSON.stringify(b.value);
}

function encode({ revision, value }: Entry): string {
  return `${revision}|${JSON.stringify(value)}`;
}

function decode(text: string): Entry | null {
  const [, revision = '', json = ''] = /^(\d{1,15})\|([^]*)$/.exec(text) ?? [];
  try {
    return revision === '' ? null : { revision: Number(revision), value: JSON.parse(json) as unknown };
  } catch {
    return null;
  }
}
