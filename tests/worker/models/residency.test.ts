// Loading, eviction, keep-alive and death of models, with echo engines on a virtual clock.
import { describe, expect, it } from 'vitest';
import { silentLog } from '@berth/shared/log.ts';
import { echoEngines } from '../../../worker/engine/echo.ts';
import type { EchoEngines, EchoScript } from '../../../worker/engine/echo.ts';
import { EngineDied, OutOfMemory } from '../../../worker/engine/engine.ts';
import type { Engine } from '../../../worker/engine/engine.ts';
import type { Model } from '../../../worker/models/catalog.ts';
import { noDefaults } from '../../../worker/models/defaults.ts';
import { residencyMsMin } from '../../../worker/models/entry.ts';
import type { ResidencyEvent } from '../../../worker/models/entry.ts';
import { NotStartedHere } from '../../../worker/models/not-started.ts';
import { createResidency } from '../../../worker/models/residency.ts';
import { roomMsMax } from '../../../worker/models/waiters.ts';
import type { Residency, ResidencyOptions } from '../../../worker/models/residency.ts';
import { virtualClock } from '../../doubles/clock.ts';
import type { VirtualClock } from '../../doubles/clock.ts';

const aModel = (name: string, version = 'v1'): Model => ({
  name,
  path: `/models/${name}.gguf`,
  sizeBytes: 1,
  modifiedAt: '2026-01-01T00:00:00Z',
  version,
  capabilities: ['completion'],
  defaults: noDefaults,
  adapters: [],
  settings: {},
  header: {
    architecture: 'llama',
    contextTokens: 512,
    parameters: 1,
    quantization: 'F16',
    chatTemplate: null,
    pooled: false,
    infills: false,
    facts: {},
    type: 'model',
    digest: '',
  },
});

interface Bench {
  residency: Residency;
  clock: VirtualClock;
  echo: EchoEngines;
  events: ResidencyEvent[];
  /** Paths in the order of their loads. */
  opened: string[];
  use: (name: string, keepAliveMs?: number | null) => ReturnType<Residency['use']>;
  loaded: () => string[];
}

function bench({ script = {}, ...options }: Partial<ResidencyOptions> & { script?: Partial<EchoScript> } = {}): Bench {
  const clock = virtualClock();
  const echo = echoEngines(clock, script);
  const events: ResidencyEvent[] = [];
  const opened: string[] = [];
  const residency = createResidency({
    open: (engine, signal) => {
      opened.push(engine.path);
      return echo.open(engine, signal);
    },
    engine: { contextTokens: 512, slots: 4, threads: 1, gpu: false },
    loadedMax: 2,
    keepAliveMs: 300_000,
    clock,
    log: silentLog,
    onEvent: (event) => events.push(event),
    ...options,
  });
  const use: Bench['use'] = (name, keepAliveMs = null) =>
    residency.use(aModel(name), keepAliveMs, new AbortController().signal);
  const loaded = (): string[] =>
    residency
      .residents()
      .filter(({ phase }) => phase === 'ready')
      .map(({ name }) => name);
  return { residency, clock, echo, events, opened, use, loaded };
}

const settle = (clock: VirtualClock): Promise<void> => clock.advance(0);

describe('loading', () => {
  it('happens once for all who wait', async () => {
    const { use, clock, opened } = bench({ script: { loadDelayMs: 1_000 } });
    const uses = [use('a'), use('a'), use('a')];
    await clock.advance(1_000);
    const all = await Promise.all(uses);
    expect(opened).toEqual(['/models/a.gguf']);
    expect(all.map(({ loadMs }) => loadMs)).toEqual([1_000, 1_000, 1_000]);
    expect((await use('a')).loadMs).toBe(0);
  });

  it('may be joined late, and takes as long as it takes', async () => {
    const { use, clock, opened } = bench({ script: { loadDelayMs: 60_000 } });
    const first = use('a');
    await clock.advance(10_000);
    const second = use('a');
    await clock.advance(50_000);
    expect((await first).engine).toBe((await second).engine);
    expect(opened).toHaveLength(1);
  });

  it('is one at a time', async () => {
    const { use, clock, opened, loaded } = bench({ script: { loadDelayMs: 1_000 } });
    const uses = [use('a'), use('b')];
    await clock.advance(999);
    expect(opened).toEqual(['/models/a.gguf']);
    await clock.advance(1_001);
    await Promise.all(uses);
    expect(loaded()).toEqual(['a', 'b']);
  });

  it('goes on when who asked for it has gone: the next one finds it', async () => {
    const { residency, clock, loaded } = bench({ script: { loadDelayMs: 1_000 } });
    const gone = new AbortController();
    const use = residency.use(aModel('a'), null, gone.signal);
    gone.abort(new Error('gone'));
    await expect(use).rejects.toThrow('gone');
    await clock.advance(1_000);
    expect(loaded()).toEqual(['a']);
  });

  it('that fails tells why, to all who wait and at once to all who come, until it is tried again', async () => {
    const { use, clock, opened } = bench({ script: { loadFails: 'not enough memory' } });
    await expect(Promise.all([use('a'), use('a')])).rejects.toMatchObject({ outcome: 'load_failed' });
    await expect(use('a')).rejects.toThrow(/not enough memory \(tried 1 times/);
    expect(opened).toHaveLength(1);
    await clock.advance(5_000);
    await expect(use('a')).rejects.toThrow('not enough memory');
    expect(opened).toHaveLength(2);
    await clock.advance(5_000);
    await expect(use('a')).rejects.toThrow(/tried 2 times/);
    expect(opened).toHaveLength(2);
  });

  it('that failed is tried at once when the file has changed', async () => {
    const { residency, opened } = bench({ script: { loadFails: 'damaged' } });
    const { signal } = new AbortController();
    await expect(residency.use(aModel('a', 'v1'), null, signal)).rejects.toThrow('damaged');
    await expect(residency.use(aModel('a', 'v2'), null, signal)).rejects.toThrow('damaged');
    expect(opened).toHaveLength(2);
  });

  it('that never ends is given up', async () => {
    const { use, clock } = bench({ script: { loadDelayMs: Infinity } });
    const use1 = use('a');
    use1.catch(() => undefined);
    await clock.advance(300_000);
    await expect(use1).rejects.toThrow(/made no progress for 300 s/);
  });

  it('that goes on may take longer than one that stands still', async () => {
    const { residency, clock } = bench({
      open: async (_, __, goesOn) => {
        for (let turn = 0; turn < 4; turn += 1) {
          await new Promise<void>((resolve) => void clock.after(250_000, resolve));
          goesOn?.();
        }
        throw new Error('slow, and no model');
      },
    });
    const use = residency.use(aModel('a'), null, new AbortController().signal);
    use.catch(() => undefined);
    await clock.advance(1_000_000);
    await expect(use).rejects.toThrow('slow, and no model');
  });

  it('takes a new version of a file when the old one is idle', async () => {
    const { residency, opened } = bench();
    const { signal } = new AbortController();
    const old = await residency.use(aModel('a', 'v1'), null, signal);
    const busy = await residency.use(aModel('a', 'v2'), null, signal);
    expect(busy.engine).toBe(old.engine);
    old[Symbol.dispose]();
    busy[Symbol.dispose]();
    const fresh = await residency.use(aModel('a', 'v2'), null, signal);
    expect(fresh.engine).not.toBe(old.engine);
    expect(opened).toHaveLength(2);
  });
});

describe('eviction', () => {
  it('makes room by unloading the idle model that was unused for longest', async () => {
    const { use, loaded, clock } = bench();
    (await use('a'))[Symbol.dispose]();
    await clock.advance(10);
    (await use('b'))[Symbol.dispose]();
    await clock.advance(10);
    (await use('a'))[Symbol.dispose]();
    await use('c');
    expect(loaded()).toEqual(['a', 'c']);
  });

  it('never touches a busy model: the cold one waits, and the withdrawn one takes nobody new', async () => {
    const { use, loaded, clock, events } = bench();
    const a = await use('a');
    const b = await use('b');
    await use('b');
    const cold = use('c');
    await settle(clock);
    expect(loaded()).toEqual(['a', 'b']);
    expect(events.at(-1)).toEqual({ kind: 'withdrawn', model: 'a' });
    await expect(use('a')).rejects.toEqual(new NotStartedHere('busy'));
    expect((await use('b')).loadMs).toBe(0);
    b[Symbol.dispose]();
    await settle(clock);
    expect(loaded()).toEqual(['a', 'b']);
    a[Symbol.dispose]();
    expect((await cold).engine).toBeDefined();
    expect(loaded()).toEqual(['b', 'c']);
  });

  it('gives up after a bounded wait, and the withdrawn model serves again', async () => {
    const { use, clock } = bench({ loadedMax: 1 });
    await use('a');
    const cold = use('b');
    cold.catch(() => undefined);
    await clock.advance(roomMsMax - 1);
    await expect(use('a')).rejects.toThrow('not started: busy');
    await clock.advance(1);
    await expect(cold).rejects.toEqual(new NotStartedHere('busy'));
    expect((await use('a')).loadMs).toBe(0);
  });

  it('is called off when who waited has gone', async () => {
    const { use, residency, clock, loaded } = bench({ loadedMax: 1 });
    const a = await use('a');
    const gone = new AbortController();
    const cold = residency.use(aModel('b'), null, gone.signal);
    await settle(clock);
    gone.abort(new Error('gone'));
    await expect(cold).rejects.toThrow('gone');
    a[Symbol.dispose]();
    await settle(clock);
    expect(loaded()).toEqual(['a']);
  });
});

describe('a pinned model', () => {
  const pinned = { ...aModel('a'), settings: { pinned: true } };

  it('stays: no idle time, no request and no other model unloads it', async () => {
    const { residency, use, loaded, clock } = bench({ loadedMax: 2 });
    (await residency.use(pinned, 0, new AbortController().signal))[Symbol.dispose]();
    (await use('b'))[Symbol.dispose]();
    residency.unload('a');
    (await use('c'))[Symbol.dispose]();
    await clock.advance(3_000_000);
    expect(loaded()).toEqual(['a']);
    expect(residency.residents()).toMatchObject([{ pinned: true, evictable: false, expiresAt: null }]);
    residency.unload('a', true);
    await settle(clock);
    expect(loaded()).toEqual([]);
  });

  it('that takes the last place is the reason why others are refused at once', async () => {
    const { residency, use } = bench({ loadedMax: 1 });
    (await residency.use(pinned, null, new AbortController().signal))[Symbol.dispose]();
    await expect(use('b')).rejects.toThrow(
      /its place is taken by what is pinned \(a\): unpin a model or raise MAX_LOADED/,
    );
    expect(residency.failed(aModel('b'))?.reason).toContain('pinned (a)');
    residency.refresh([aModel('a')]);
    expect(residency.failed(aModel('b'))).toBeNull();
    expect((await use('b')).engine).toBeDefined();
  });
});

describe('memory', () => {
  /** A device of 10 bytes; a model's name tells how many it takes, and its context one more when it is whole. */
  const device = (more: Partial<ResidencyOptions> = {}) => {
    let taken = 0;
    const tried: string[] = [];
    const it = bench({
      loadedMax: 9,
      open: async ({ path, whole }) => {
        const name = path.slice('/models/'.length, -'.gguf'.length);
        const bytes = Number(name.slice(1)) + (whole ? 1 : 0);
        tried.push(name + (whole ? '+' : ''));
        if (bytes > 10 - taken)
          throw new OutOfMemory(`${name} needs ${bytes}, ${10 - taken} are free`, bytes - 10 + taken);
        taken += bytes;
        const engine = await echoEngines(it.clock).open(
          { path, contextTokens: 1, slots: 1, threads: 1, gpu: false },
          new AbortController().signal,
        );
        const close = engine[Symbol.asyncDispose].bind(engine);
        return Object.assign(engine, {
          info: { ...engine.info, memoryBytes: bytes },
          [Symbol.asyncDispose]: () => ((taken -= bytes), close()),
        });
      },
      ...more,
    });
    return { ...it, tried };
  };

  it('that lacks is made by idle models, and by no more of them than it takes', async () => {
    const { use, loaded, clock, tried } = device();
    for (const name of ['a4', 'b2', 'c2']) {
      (await use(name))[Symbol.dispose]();
      await clock.advance(10);
    }
    await use('d3');
    expect(loaded()).toEqual(['b2', 'c2', 'd3']);
    expect(tried).toEqual(['a4', 'b2+', 'c2+', 'd3+', 'd3+']);
  });

  it('that a busy model holds is waited for behind the barrier', async () => {
    const { use, loaded, clock, events } = device();
    const a = await use('a8');
    const cold = use('b5');
    await settle(clock);
    expect(events.at(-1)).toEqual({ kind: 'withdrawn', model: 'a8' });
    a[Symbol.dispose]();
    expect((await cold).engine).toBeDefined();
    expect(loaded()).toEqual(['b5']);
  });

  it('that nobody could free is said with its numbers, and drives nobody out', async () => {
    const { use, loaded } = device();
    (await use('a4'))[Symbol.dispose]();
    await expect(use('b20')).rejects.toThrow('b20 needs 20, 6 are free');
    expect(loaded()).toEqual(['a4']);
  });

  it('too small for a whole context cuts the context short rather than driving out in vain', async () => {
    const { use, loaded, tried } = device();
    (await use('a0'))[Symbol.dispose]();
    await use('b10');
    expect(tried).toEqual(['a0', 'b10+', 'b10']);
    expect(loaded()).toEqual(['a0', 'b10']);
  });
});

describe('keep-alive', () => {
  it('unloads a model that was idle for that long, counted from its last use', async () => {
    const { use, clock, loaded, residency } = bench({ keepAliveMs: 1_000 });
    const first = await use('a');
    await clock.advance(5_000);
    expect(loaded()).toEqual(['a']);
    first[Symbol.dispose]();
    expect(residency.residents()[0]?.expiresAt).toBe(clock.now() + 1_000);
    await clock.advance(999);
    (await use('a'))[Symbol.dispose]();
    await clock.advance(999);
    expect(loaded()).toEqual(['a']);
    await clock.advance(1);
    expect(loaded()).toEqual([]);
  });

  it('of a request sticks to the model; requests without one leave it', async () => {
    const { use, clock, loaded } = bench({ keepAliveMs: 1_000 });
    (await use('a', 60_000))[Symbol.dispose]();
    (await use('a'))[Symbol.dispose]();
    await clock.advance(59_999);
    expect(loaded()).toEqual(['a']);
    await clock.advance(1);
    expect(loaded()).toEqual([]);
  });

  it('of 0 unloads as soon as the last request has ended', async () => {
    const { use, clock, loaded } = bench();
    const first = await use('a');
    const second = await use('a', 0);
    second[Symbol.dispose]();
    await settle(clock);
    expect(loaded()).toEqual(['a']);
    first[Symbol.dispose]();
    await settle(clock);
    expect(loaded()).toEqual([]);
  });

  it('without end keeps the model, and longer than a timer can count does not unload it', async () => {
    const { use, clock, loaded, residency } = bench();
    (await use('a', Infinity))[Symbol.dispose]();
    (await use('b', 100 * 24 * 3_600_000))[Symbol.dispose]();
    expect(residency.residents().map(({ expiresAt }) => expiresAt)).toEqual([null, expect.any(Number)]);
    await clock.advance(24 * 3_600_000);
    expect(loaded()).toEqual(['a', 'b']);
  });

  it('ends at once when the model is told to go, but not under a running request', async () => {
    const { use, clock, loaded, residency } = bench();
    const first = await use('a');
    residency.unload('a');
    await settle(clock);
    expect(loaded()).toEqual(['a']);
    first[Symbol.dispose]();
    await settle(clock);
    expect(loaded()).toEqual([]);
    residency.unload('a');
  });
});

describe('a load by order', () => {
  const order = ({ residency }: Bench, name: string, victim = '', signal = new AbortController().signal) =>
    residency.load(aModel(name), victim, signal);

  it('loads the model, and keeps it for those who waited for it, however short it is to stay', async () => {
    const it = bench({ keepAliveMs: 0 });
    await order(it, 'a');
    expect(it.residency.residents()).toMatchObject([{ name: 'a', users: 0, evictable: false }]);
    await it.clock.advance(residencyMsMin - 1);
    expect(it.loaded()).toEqual(['a']);
    await it.clock.advance(1);
    expect(it.loaded()).toEqual([]);
  });

  it('gives the model its turn: four times what its load took while it is used, at least 5 s, and less when it is used less', async () => {
    const mayGoAfterMs = async (loadDelayMs: number, usedMs: number): Promise<number> => {
      const it = bench({ script: { loadDelayMs } });
      const loading = it.use('a');
      await it.clock.advance(loadDelayMs);
      const use = await loading;
      for (let ms = 0; ; ms += 500) {
        if (ms === usedMs) use[Symbol.dispose]();
        if (it.residency.residents()[0]?.evictable === true) return ms;
        await it.clock.advance(500);
      }
    };
    expect(await mayGoAfterMs(100, Infinity)).toBe(residencyMsMin);
    expect(await mayGoAfterMs(4_000, Infinity)).toBe(16_000);
    expect(await mayGoAfterMs(50_000, Infinity)).toBe(60_000);
    expect(await mayGoAfterMs(4_000, 1_000)).toBe(4_000);
  });

  it('counts for who comes first as a load', async () => {
    const it = bench({ script: { loadDelayMs: 700 } });
    const ordered = order(it, 'a');
    await it.clock.advance(700);
    await ordered;
    expect((await it.use('a')).loadMs).toBe(700);
    expect((await it.use('a')).loadMs).toBe(0);
  });

  it('is no load when the model is there', async () => {
    const it = bench();
    (await it.use('a'))[Symbol.dispose]();
    await order(it, 'a');
    expect(it.opened).toHaveLength(1);
  });

  it('takes the place of its victim when that is idle, and of no other model', async () => {
    const it = bench();
    const first = await it.use('a');
    (await it.use('b'))[Symbol.dispose]();
    const ordered = order(it, 'c', 'a');
    await settle(it.clock);
    expect(it.loaded()).toEqual(['a', 'b']);
    await expect(it.use('a')).rejects.toEqual(new NotStartedHere('busy'));
    await it.clock.advance(2 * roomMsMax);
    first[Symbol.dispose]();
    await ordered;
    expect(it.loaded()).toEqual(['b', 'c']);
  });

  it('that is called off leaves everything as it was', async () => {
    const it = bench({ loadedMax: 1 });
    const first = await it.use('a');
    const off = new AbortController();
    const ordered = order(it, 'b', 'a', off.signal);
    await settle(it.clock);
    off.abort(new Error('off'));
    await expect(ordered).rejects.toThrow('off');
    expect(it.events.at(-1)).not.toMatchObject({ kind: 'loading' });
    first[Symbol.dispose]();
    (await it.use('a'))[Symbol.dispose]();
    expect(it.opened).toHaveLength(1);
  });

  it('gives two models their turn where there is room for one: neither goes before it could be used', async () => {
    const it = bench({ loadedMax: 1 });
    const both = [order(it, 'a'), order(it, 'b')];
    await it.clock.advance(residencyMsMin - 1);
    expect(it.loaded()).toEqual(['a']);
    await it.clock.advance(1);
    await Promise.all(both);
    expect(it.loaded()).toEqual(['b']);
  });

  it('does not drive out a model that is used as soon as it is there', async () => {
    const it = bench({ loadedMax: 1 });
    const both = [order(it, 'a'), order(it, 'b')];
    const user = await it.use('a');
    await it.clock.advance(10 * residencyMsMin);
    expect(it.loaded()).toEqual(['a']);
    user[Symbol.dispose]();
    await Promise.all(both);
    expect(it.loaded()).toEqual(['b']);
  });
});

describe('an engine that dies', () => {
  it('is replaced on the next request, and later ones wait longer', async () => {
    const { use, clock, echo, events } = bench();
    for (const waitMs of [0, 1_000, 2_000]) {
      const { engine } = await use('a');
      echo.kill();
      await expect(engine.died).resolves.toBeInstanceOf(EngineDied);
      await settle(clock);
      expect(events.filter(({ kind }) => kind === 'died')).not.toEqual([]);
      if (waitMs > 0) await expect(use('a')).rejects.toEqual(new NotStartedHere('busy'));
      await clock.advance(waitMs);
    }
    expect(events.filter(({ kind }) => kind === 'loaded')).toHaveLength(3);
  });

  it('leaves its place: uses that end later change nothing', async () => {
    const { use, clock, echo, loaded } = bench({ loadedMax: 1 });
    const old = await use('a');
    echo.kill();
    await settle(clock);
    const fresh = await use('a');
    old[Symbol.dispose]();
    await clock.advance(3_600_000);
    expect(loaded()).toEqual(['a']);
    fresh[Symbol.dispose]();
    await clock.advance(300_000);
    expect(loaded()).toEqual([]);
  });

  it('may be killed, and what ran in it ends', async () => {
    const { use, residency, clock, echo } = bench();
    const { engine } = await use('a');
    residency.kill('a', 'no progress');
    await settle(clock);
    expect([residency.residents(), echo.openNow]).toEqual([[], 0]);
    expect(engine).toBeDefined();
  });

  it('does not hold up the worker when it does not close', async () => {
    const stuck = (engine: Engine): Engine => ({
      ...engine,
      [Symbol.asyncDispose]: () => new Promise(() => undefined),
    });
    const clock = virtualClock();
    const echo = echoEngines(clock);
    const residency = createResidency({
      open: async (options, signal) => stuck(await echo.open(options, signal)),
      engine: { contextTokens: 512, slots: 1, threads: 1, gpu: false },
      loadedMax: 1,
      keepAliveMs: 0,
      clock,
      log: silentLog,
      onEvent: () => undefined,
    });
    const { signal } = new AbortController();
    (await residency.use(aModel('a'), null, signal))[Symbol.dispose]();
    const next = residency.use(aModel('b'), null, signal);
    await clock.advance(10_000);
    expect((await next).engine).toBeDefined();
  });
});

describe('closing', () => {
  it('closes every engine, and refuses who waits and who comes', async () => {
    const { use, residency, echo, clock } = bench({ loadedMax: 1 });
    await use('a');
    const waiting = use('b');
    waiting.catch(() => undefined);
    await settle(clock);
    await residency.close();
    expect(echo.openNow).toBe(0);
    await expect(waiting).rejects.toEqual(new NotStartedHere('draining'));
    await expect(use('a')).rejects.toEqual(new NotStartedHere('draining'));
  });

  it('closes an engine that is ready too late', async () => {
    const clock = virtualClock();
    const echo = echoEngines(clock);
    const late = Promise.withResolvers<void>();
    const { residency } = bench({
      open: async (options) => {
        await late.promise;
        return echo.open(options, new AbortController().signal);
      },
    });
    const waiting = residency.use(aModel('a'), null, new AbortController().signal);
    waiting.catch(() => undefined);
    const closed = residency.close();
    late.resolve();
    await closed;
    expect([echo.openNow, residency.residents()]).toEqual([0, []]);
  });

  it('ends a load that is going on', async () => {
    const { use, residency, echo, clock } = bench({ script: { loadDelayMs: 60_000 } });
    const waiting = use('a');
    waiting.catch(() => undefined);
    await settle(clock);
    await residency.close();
    await expect(waiting).rejects.toEqual(new NotStartedHere('draining'));
    expect([echo.openNow, residency.residents()]).toEqual([0, []]);
  });
});
