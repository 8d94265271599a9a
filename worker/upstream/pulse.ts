// Whether a joined server may be given requests: it is in rotation while its work goes on, and out of it until it answers.
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { reasonOf } from '../reason.ts';

export interface Pulse {
  readonly up: boolean;
  /** Requests that are given to it end with this signal's reason when it is found dead. */
  readonly life: AbortSignal;
  /** It did something: a byte of an answer. */
  sign(): void;
  /** Out of rotation, until it answers a canary. What runs may go on. */
  down(why: string): void;
  /** Something went wrong that it may be to blame for: it is asked at once. */
  suspect(): void;
  /** Looks once, and then again and again until it is disposed. Settles after the first look. */
  start(): Promise<void>;
  [Symbol.dispose](): void;
}

export interface PulseOptions {
  clock: Clock;
  log: Log;
  /** Longest silence of a server with work, when it cannot be asked because all of its slots are taken. */
  silenceMs: number;
  /** Looks what the server has. @throws when that is not to be had */
  look: () => Promise<void>;
  /** Looks whether its work goes on. @returns false when it cannot be asked now @throws when it does not go on */
  canary: () => Promise<boolean>;
  /** How many requests it runs. */
  running: () => number;
  /** Whether it may be asked while nobody else asks: for a server whose models stay loaded. */
  asksIdle: () => boolean;
  onChange: (up: boolean) => void;
}

const everyMs = 2_000;
/** Without a sign of life for so long, with work: it is asked. */
const quietMs = 15_000;
/** Without work: it is asked before somebody finds it dead. */
const idleMs = 30_000;
const backoffMs = 1_000;
const backoffMaxMs = 30_000;

/**
 * 1. In rotation: every two seconds a look at what it has. Failing at that while answers flow says nothing.
 * 2. Silent although it has work, or suspect: a canary, in a slot that is free. Where none is, the silence has a bound.
 * 3. A server that fails the canary, or is silent beyond the bound, is dead: what runs there is ended with an error.
 * 4. Out of rotation: a look and a canary, with pauses from 1 s to 30 s between tries, each reason told once.
 */
export function createPulse(options: PulseOptions): Pulse {
  const { clock, log, silenceMs, look, canary, running, asksIdle, onChange } = options;
  let up = false;
  let life = new AbortController();
  let signMs = clock.monotonic();
  let suspected = false;
  let failures = 0;
  let told = '';
  let timer: Disposable | null = null;
  let beating: Promise<void> | null = null;
  let over = false;

  const quietFor = (): number => clock.monotonic() - signMs;
  const sign = (): void => void (signMs = clock.monotonic());
  const down = (why: string): void => {
    if (why !== told) log.warn('the joined server is out of rotation', { why });
    told = why;
    if (!up) return;
    up = false;
    failures = 0;
    onChange(false);
    plan(backoffMs);
  };
  const bury = (why: string): void => {
    down(why);
    life.abort(new Refusal('worker_failed', `the joined server failed: ${why}`));
    life = new AbortController();
  };
  const comeBack = async (): Promise<void> => {
    await look();
    if (!(await canary())) throw new Error('requests that it does not end take all of its slots');
    up = true;
    failures = 0;
    told = '';
    sign();
    log.info('the joined server is in rotation');
    onChange(true);
  };
  const watch = async (isSuspect: boolean): Promise<void> => {
    await look().catch((error: unknown) => {
      if (quietFor() > quietMs || running() === 0) throw error; // 1
    });
    const busy = running() > 0;
    const due = isSuspect || (busy ? quietFor() > quietMs : quietFor() > idleMs && asksIdle());
    if (!due) return;
    if (await canary()) return sign(); // 2
    if (busy && quietFor() > silenceMs) throw new Error(`it has been silent for ${Math.round(quietFor() / 1_000)} s`);
  };

  const beat = async (): Promise<void> => {
    const wasUp = up;
    const isSuspect = suspected;
    suspected = false;
    try {
      await (up ? watch(isSuspect) : comeBack());
    } catch (error) {
      if (wasUp) bury(reasonOf(error)); // 3
      else {
        failures += 1;
        down(reasonOf(error)); // 4
      }
    }
  };
  const pauseMs = (): number => (up ? everyMs : Math.min(backoffMaxMs, backoffMs * 2 ** Math.max(0, failures - 1)));
  /** One look at a time. */
  const run = (): Promise<void> => {
    timer?.[Symbol.dispose]();
    beating ??= beat().finally(() => {
      beating = null;
      plan(suspected ? 0 : pauseMs());
    });
    return beating;
  };
  const plan = (ms: number): void => {
    timer?.[Symbol.dispose]();
    timer = over || beating !== null ? null : clock.after(ms, () => void run());
  };

  return {
    get up() {
      return up;
    },
    get life() {
      return life.signal;
    },
    sign,
    down,
    suspect() {
      suspected = true;
      plan(0);
    },
    start: run,
    [Symbol.dispose]() {
      over = true;
      timer?.[Symbol.dispose]();
    },
  };
}
