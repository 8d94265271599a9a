// The ledger's server: one memory ledger for all processes, as they share one Redis, and the ways to reach it.
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import type { HandOff, Ledger } from '@berth/shared/ledger/ledger.ts';
import { createMemoryLedger } from '../../gateway/ledger/memory.ts';
import { emptyPool, type Pool } from '../../gateway/ledger/pool.ts';
import type { Chance } from '../models/chance.ts';
import type { Events } from './events.ts';
import type { Life } from './life.ts';
import { startMs } from './life.ts';
import type { Network } from './network.ts';

/** Time limit of one command: the production's default. */
const commandMs = 500;

/** A late command is carried out within this time. */
export const latestMs = 3_000;

interface Weather {
  /** Probability that a command is carried out and its answer lost. */
  replyLost: number;
  /** Probability that a command arrives after its sender has given up. */
  late: number;
}

export interface LedgerServer {
  readonly pool: Pool;
  /** The ledger itself, without a network before it. */
  readonly ledger: Ledger;
  readonly up: boolean;
  readonly weather: Weather;
  isCut(life: Life): boolean;
  /** Loses everything, as FLUSHALL does. */
  flush(): void;
  /** Gone for so long: connections are refused, or nothing answers. */
  away(forMs: number, how: { loses: boolean; refuses: boolean }): void;
  /** Stops being away. */
  back(): void;
  /** The clock of a new primary is another one. */
  stepClock(ms: number): void;
  link(life: Life): Link;
}

export interface Link extends Ledger {
  /** The process has gone; the server hears of it, or not. */
  closed(heard: boolean): void;
}

export interface ServerOptions {
  events: Events;
  network: Network;
  chance: Chance;
  /** Puts the oracle's eyes around the ledger. */
  watch: (ledger: Ledger, pool: Pool) => Ledger;
}

export function createLedgerServer({ events, network, chance, watch }: ServerOptions): LedgerServer {
  const pool = emptyPool();
  let stepMs = 0;
  const monotonic = () => startMs + stepMs + events.nowMs;
  const clock = { now: monotonic, monotonic, after: () => ({ [Symbol.dispose]() {} }) };
  const ledger = watch(createMemoryLedger({ clock, pool }), pool);
  const links = new Set<{ reconnect: () => void }>();
  const weather: Weather = { replyLost: 0, late: 0 };
  let refuses = false;
  let up = true;
  let planned: Disposable | null = null;

  const flush = (): void => {
    for (const part of Object.values(pool)) if (part instanceof Map) part.clear();
    const { era, birth, kept, version } = emptyPool();
    Object.assign(pool, { era, birth, kept, version });
  };
  const back = (): void => {
    if (up) return;
    planned?.[Symbol.dispose]();
    up = true;
    for (const { reconnect } of links) reconnect();
  };

  function link(life: Life): Link {
    const ears = new Map<string, { hear: (grant: HandOff) => void; ear: AsyncDisposable | null }>();
    let arrivedMs = 0;

    /** Commands on one connection arrive in their order, except those that the weather holds up. */
    function arrivalMs(late: boolean): number {
      if (late) return events.nowMs + commandMs + (latestMs - commandMs) * chance.unit();
      arrivedMs = Math.max(arrivedMs, events.nowMs + network.latencyMs());
      return arrivedMs;
    }

    async function call<Output>(name: string, run: () => Promise<Output>): Promise<Output> {
      const { promise, resolve, reject } = Promise.withResolvers<Output>();
      const fail = (why: string) => reject(new LedgerUnavailable(`${name}: ${why}`));
      if (!up && refuses) life.clock.after(1, () => fail('refused'));
      else {
        using _limit = life.clock.after(commandMs, () => fail('no answer'));
        if (up && !network.isCut(life.name, 'ledger')) {
          const late = chance.happens(weather.late);
          events.after(arrivalMs(late) - events.nowMs, () => void execute(run, resolve, reject));
        }
        return await promise;
      }
      return await promise;
    }

    async function execute<Output>(
      run: () => Promise<Output>,
      resolve: (output: Output) => void,
      reject: (error: unknown) => void,
    ) {
      if (!up) return;
      const answered = !chance.happens(weather.replyLost);
      const delayMs = network.latencyMs();
      const answer = (give: () => void) => {
        if (!answered || network.isCut(life.name, 'ledger')) return;
        events.after(delayMs, () => life.deliver(give));
      };
      try {
        const output = await run();
        answer(() => resolve(output));
      } catch (error) {
        answer(() => reject(error));
      }
    }

    async function register(gateway: string): Promise<void> {
      const wish = ears.get(gateway);
      if (wish === undefined || wish.ear !== null) return;
      wish.ear = await ledger.listen(gateway, (grant) => {
        if (!network.isCut(life.name, 'ledger'))
          events.after(network.latencyMs(), () => life.deliver(() => wish.hear(grant)));
      });
    }

    async function deafen(): Promise<void> {
      for (const wish of ears.values()) {
        await wish.ear?.[Symbol.asyncDispose]();
        wish.ear = null;
      }
    }

    const self = {
      reconnect() {
        // A restarted server knows no subscriptions; clients come back one by one.
        void deafen();
        events.after(25 + 75 * chance.unit(), () => {
          if (life.alive) for (const gateway of ears.keys()) void register(gateway);
        });
      },
    };
    links.add(self);

    return {
      take: (input) => call('take', () => ledger.take(input)),
      leave: (input) => call('leave', () => ledger.leave(input)),
      session: (input) => call('session', () => ledger.session(input)),
      claim: (input) => call('claim', () => ledger.claim(input)),
      beat: (input) => call('beat', () => ledger.beat(input)),
      survey: () => call('survey', () => ledger.survey()),
      async listen(gateway, hear) {
        ears.set(gateway, { hear, ear: null });
        await call('listen', () => register(gateway));
        return { [Symbol.asyncDispose]: deafen };
      },
      closed(heard) {
        links.delete(self);
        if (heard) events.after(network.latencyMs(), () => void deafen());
        else events.after(15_000, () => void deafen());
      },
      [Symbol.asyncDispose]: deafen,
    };
  }

  return {
    pool,
    ledger,
    get up() {
      return up;
    },
    weather,
    isCut: (life) => network.isCut(life.name, 'ledger'),
    flush,
    away(forMs, how) {
      planned?.[Symbol.dispose]();
      up = false;
      ({ refuses } = how);
      if (how.loses) flush();
      planned = events.after(forMs, back);
    },
    back,
    stepClock: (ms) => void (stepMs += ms),
    link,
  };
}
