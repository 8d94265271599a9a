// A worker of the simulation: the production's guard and beats around an engine that only takes time.
import { checkCall, type Call as SignedCall } from '@berth/shared/auth.ts';
import { notStartedHeader, refusalHeader, type NotStarted } from '@berth/shared/headers.ts';
import { silentLog } from '@berth/shared/log.ts';
import { encodeRefusal, Refusal } from '@berth/shared/outcome.ts';
import type { Random } from '@berth/shared/random.ts';
import { encodeSettlement, settlementTrailer } from '@berth/shared/settlement.ts';
import { createAnnouncer } from '../../worker/announce.ts';
import { createSolitude } from '../../worker/models/solitude.ts';
import { createSlots, type Slot, type Slots } from '../../worker/slots.ts';
import type { Events } from './events.ts';
import { createLife, type Life } from './life.ts';
import type { Work } from './load.ts';
import { secret } from './load.ts';
import type { Oracle } from './oracle.ts';
import type { LedgerServer, Link } from './server.ts';
import { createShelf, type Loads } from './shelf.ts';
import type { Answering, Call, Site, Wire } from './wire.ts';

export interface WorkerSettings {
  id: string;
  slots: number;
  serves: readonly string[];
  /** How much longer everything takes than planned. */
  slowness: number;
  /** It loads its models by orders; without this it has them all from its start. */
  loads?: Loads;
}

export interface SimWorker {
  readonly settings: WorkerSettings;
  readonly life: Life;
  readonly epoch: string;
  readonly guard: Slots;
  readonly link: Link;
  /** Everything takes so many times longer. */
  slow(factor: number): void;
  /** Models that it takes new requests for. */
  serving(): string[];
  /** Its engines die: what runs is told so; the worker goes on. */
  crashEngine(): void;
  kill(heard: boolean): void;
  /** Takes nothing new, ends what runs, says good-bye. */
  drain(): Promise<void>;
}

export interface WorkerParts {
  events: Events;
  wire: Wire;
  server: LedgerServer;
  oracle: Oracle;
  random: Random;
  /** What a request is to take. */
  work: (jobId: string) => Work;
  /** It leaves because another life has taken its id over. */
  onDeath: (worker: SimWorker) => void;
}

/** A cancellation takes effect within one step of the engine. */
const stepMs = 20;

export function createSimWorker(parts: WorkerParts, settings: WorkerSettings): SimWorker {
  const { events, wire, server, oracle, random } = parts;
  const life = createLife(settings.id, events);
  const link = server.link(life);
  const epoch = random.id();
  const guard = createSlots(settings.slots, epoch);
  const running = new Set<{ model: string; jobId: string; crash: () => void }>();
  const solitude = createSolitude({ clock: life.clock, onChange: () => announcer.soon() });
  const shelf = settings.loads && createShelf(life.clock, settings.serves, settings.loads, () => announcer.soon());
  const serving = () => (shelf?.serving() ?? settings.serves).filter((name) => !solitude.taken().has(name));
  const self = { worker: settings.id, epoch, url: originOf(settings.id), slots: settings.slots, device: 'cpu' };
  let factor = 1;

  const announcement = (state: string): string =>
    JSON.stringify({
      protocol: 1,
      worker: settings.id,
      epoch,
      url: originOf(settings.id),
      slots: settings.slots,
      loadedMax: settings.serves.length,
      state,
      device: 'cpu',
      models: settings.serves.map((name) => ({
        name,
        loaded: true,
        evictable: true,
        failed: null,
        capabilities: ['completion'],
      })),
    });
  const announcements = {
    ready: announcement('ready'),
    draining: announcement('draining'),
    drained: announcement('drained'),
    stalled: announcement('stalled'),
  };
  const announcer = createAnnouncer({
    ledger: link,
    now: () =>
      shelf?.beat(self, guard, solitude.taken()) ?? {
        worker: settings.id,
        epoch,
        capacity: guard.capacity(),
        weight: 1,
        serves: serving(),
        running: guard.running(),
        announcement: announcements[guard.state],
      },
    clock: life.clock,
    log: silentLog,
    onOrder: (order) => shelf?.hear(order),
    onStale: () => parts.onDeath(worker),
  });

  function handle(call: Call, answer: Answering): void {
    const checked = checkCall(secret, 'POST', call.path, call.headers, life.clock.now());
    if (checked.kind !== 'ok') {
      oracle.fail(`a call was ${checked.why}`);
      return answer.destroy();
    }
    const { lease, epoch: asked, model, owner } = checked.call;
    const slot = guard.take(asked, { id: lease, model, ...owner });
    if (typeof slot === 'string') return refuse(slot, answer);
    void enter(checked.call, call.headers['x-request-id'] ?? '', slot, answer);
  }

  function refuse(why: NotStarted, answer: Answering): void {
    answer.head(409, { [notStartedHeader]: why });
    answer.end({});
    oracle.refused(settings.id, why);
    if (why !== 'stale') announcer.soon();
  }

  /** Waits for the others, where it has to be alone. */
  async function enter(call: SignedCall, jobId: string, slot: Slot, answer: Answering): Promise<void> {
    const gone = new AbortController();
    answer.onClose(() => gone.abort());
    const place = new DisposableStack();
    try {
      place.use(await solitude.enter(call.model, call.alone === true, gone.signal));
      if (shelf) place.use(await shelf.use(call.model, gone.signal));
      if (!gone.signal.aborted) return start(call, jobId, slot, place, answer);
      place.dispose();
    } catch {
      place.dispose();
      if (!gone.signal.aborted) refuse('busy', answer);
    }
    slot[Symbol.dispose]();
    if (gone.signal.aborted) link.leave({ id: call.lease, actual: 0, refused: false }).catch(() => {});
  }

  /** One request: silence, then pieces, then the end; as `worker/generate.ts` the slot is free before the last byte. */
  function start(call: SignedCall, jobId: string, slot: Slot, place: Disposable, answer: Answering): void {
    const work = parts.work(jobId);
    const startedMs = events.nowMs;
    let timer: Disposable | null = null;
    let sent = 0;
    let over = false;

    const stop = (): void => {
      over = true;
      timer?.[Symbol.dispose]();
      running.delete(self);
      place[Symbol.dispose]();
      slot[Symbol.dispose]();
      oracle.stopped(worker, call.lease);
    };
    const leave = () =>
      link.leave({ id: call.lease, actual: (events.nowMs - startedMs) / 1_000, refused: false }).catch(() => {});
    const later = (ms: number, action: () => void): void => {
      timer = life.clock.after(ms * factor * settings.slowness, action);
    };
    const piece = (): void => {
      const text = `${jobId}:${sent};`;
      sent += 1;
      if (sent === 1) answer.head(200, { 'content-type': 'text/event-stream' });
      if (sent < work.pieces) {
        answer.data(text);
        return later(work.pieceMs, piece);
      }
      stop();
      oracle.served(jobId, events.nowMs - startedMs);
      answer.data(text);
      answer.end({ [settlementTrailer]: settlementOf(work) });
    };
    const self = {
      model: call.model,
      jobId,
      crash() {
        stop();
        const why = { [refusalHeader]: encodeRefusal(new Refusal('engine_died', 'the model stopped working')) };
        if (sent === 0) answer.head(502, why);
        answer.end(why);
      },
    };
    running.add(self);
    oracle.started(worker, jobId, call.lease);
    answer.onClose(() =>
      life.clock.after(stepMs, () => {
        if (over) return;
        stop();
        void leave();
      }),
    );
    later(work.silenceMs, () => (work.poison ? crash(call.model, jobId) : piece()));
  }

  /** The engine of a model dies, by a request or by itself. */
  function crash(model: string, poison: string | null): void {
    const ran = [...running].filter((each) => each.model === model);
    oracle.engineDied(
      ran.map(({ jobId }) => jobId),
      poison,
    );
    for (const each of ran) each.crash();
  }

  const site: Site = { life, vanished: false, handle };
  const worker: SimWorker = {
    settings,
    life,
    epoch,
    guard,
    link,
    serving,
    slow: (times) => void (factor = times),
    crashEngine() {
      for (const model of settings.serves) {
        crash(model, null);
        shelf?.kill(model);
      }
    },
    kill(heard) {
      if (!life.alive) return;
      life.kill();
      site.vanished = !heard;
      link.closed(heard);
      wire.died(life, heard);
      oracle.died(worker);
    },
    async drain() {
      const idle = guard.drain();
      announcer.soon();
      await idle;
      await announcer.last();
    },
  };
  wire.serve(originOf(settings.id), site);
  void announcer.start();
  return worker;
}

function originOf(id: string): string {
  return `http://${id}:9401`;
}

function settlementOf({ pieces, pieceMs, silenceMs }: Work): string {
  return encodeSettlement({
    finish: 'stop',
    promptTokens: Math.ceil(silenceMs),
    cachedTokens: 0,
    outputTokens: pieces * 10,
    ttftMs: silenceMs,
    prefillMs: silenceMs,
    decodeMs: pieces * pieceMs,
    loadMs: 0,
  });
}
