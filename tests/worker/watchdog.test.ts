// When an engine counts as stalled or dead.
import { describe, expect, it } from 'vitest';
import type { Engine } from '../../worker/engine/engine.ts';
import { createWatchdog, deadAfterMs, stalledAfterMs } from '../../worker/watchdog.ts';
import { virtualClock } from '../doubles/clock.ts';

interface Script {
  engine: Engine;
  /** The engine does a step and tells it. */
  step: () => void;
  events: AsyncIterable<string>;
}

function anEngine(): Script {
  let steps = 0;
  let next = Promise.withResolvers<string>();
  const engine: Engine = {
    info: { contextTokens: 1, slots: 1, vramBytes: 0, memoryBytes: 0 },
    pid: null,
    steps: () => steps,
    onStep: () => {},
    useThreads: () => {},
    died: new Promise(() => undefined),
    embed: () => Promise.reject(new Error('none')),
    tokenize: () => Promise.reject(new Error('nothing is asked')),
    generate: () => {
      throw new Error('not here');
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  async function* events(): AsyncGenerator<string> {
    for (;;) yield await next.promise;
  }
  const step = (): void => {
    steps += 1;
    next.resolve('text');
    next = Promise.withResolvers();
  };
  return { engine, step, events: events() };
}

const reading = (events: AsyncIterable<string>): AsyncIterator<string> => events[Symbol.asyncIterator]();

describe('the watchdog', () => {
  it('calls an engine with work and without a step stalled, and later dead', async () => {
    const clock = virtualClock();
    const watchdog = createWatchdog(clock);
    const { engine, events } = anEngine();
    const reader = reading(watchdog.watch('a', engine, events));
    void reader.next();
    await clock.advance(stalledAfterMs - 1);
    expect(watchdog.check()).toEqual({ stalled: false, dead: [] });
    await clock.advance(1);
    expect(watchdog.check()).toEqual({ stalled: true, dead: [] });
    await clock.advance(deadAfterMs - stalledAfterMs);
    expect(watchdog.check()).toEqual({ stalled: true, dead: ['a'] });
  });

  it('counts from the last step, whoever it was for', async () => {
    const clock = virtualClock();
    const watchdog = createWatchdog(clock);
    const { engine, events, step } = anEngine();
    void reading(watchdog.watch('a', engine, events)).next();
    await clock.advance(14_000);
    step();
    expect(watchdog.check().stalled).toBe(false);
    await clock.advance(14_000);
    expect(watchdog.check().stalled).toBe(false);
  });

  it('does not blame the engine when the reader is slow, or nobody reads', async () => {
    const clock = virtualClock();
    const watchdog = createWatchdog(clock);
    const { engine, events, step } = anEngine();
    const reader = reading(watchdog.watch('a', engine, events));
    const first = reader.next();
    await clock.advance(0);
    step();
    expect(await first).toEqual({ done: false, value: 'text' });
    await clock.advance(3_600_000);
    expect(watchdog.check()).toEqual({ stalled: false, dead: [] });
    void reader.next();
    await clock.advance(stalledAfterMs - 1);
    expect(watchdog.check().stalled).toBe(false);
  });

  it("ends the engine's iteration when the reader leaves", async () => {
    const watchdog = createWatchdog(virtualClock());
    let ended = false;
    async function* events(): AsyncGenerator<string> {
      try {
        yield 'one';
        yield 'two';
      } finally {
        ended = true;
      }
    }
    for await (const event of watchdog.watch('a', anEngine().engine, events())) if (event === 'one') break;
    expect(ended).toBe(true);
  });
});
