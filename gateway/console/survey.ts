// One look at the pool for all who look: made once a second while a console is open, and never otherwise.
import type { Activity } from '@berth/shared/activity.ts';
import type { Announcement } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Ledger, Survey } from '@berth/shared/ledger/ledger.ts';
import type { Door } from '../admit.ts';
import type { Workers } from '../activity.ts';
import type { Estimate } from '../estimate.ts';
import type { GatewaySession } from '../session.ts';
import type { WaitingRoom } from '../waiting.ts';
import { priorities } from '../wishes.ts';
import type { Roster } from '../workers/roster.ts';
import type { History } from './history.ts';
import type { ModelRow, PoolPart, QueuePart, RunningRow, Snapshot, WorkerRow } from './snapshot.ts';

export interface LookOptions {
  ledger: Pick<Ledger, 'survey'>;
  room: Pick<WaitingRoom, 'all'>;
  estimate: Pick<Estimate, 'wait'>;
  roster: Pick<Roster, 'workers'>;
  workers: Pick<Workers, 'look'>;
  history: History;
  session: Pick<GatewaySession, 'up' | 'gateways'>;
  door: Pick<Door, 'draining'>;
  degraded: () => boolean;
  version: string;
  gateway: string;
  clock: Clock;
}

/** A part of the snapshot, as JSON. */
export type Parts = { readonly [P in keyof Snapshot]: string };

/** All who ask while a look is under way, or soon after it, get the same one. Never rejects. */
export type LookAtPool = () => Promise<Parts>;

/** A look that is younger is as good as a new one. */
const freshMs = 900;
/** Most that are listed: the page stays small and quick whatever the pool is. */
const most = { workers: 256, running: 2_048, models: 256, queue: 100 };

export function createLook(options: LookOptions): LookAtPool {
  let last: Promise<Parts> | null = null;
  let madeMs = Number.NEGATIVE_INFINITY;
  return () => {
    const nowMs = options.clock.monotonic();
    if (last !== null && nowMs - madeMs < freshMs) return last;
    madeMs = nowMs;
    last = look(options).then((snapshot) => partsOf(snapshot));
    return last;
  };
}

function partsOf(snapshot: Snapshot): Parts {
  return Object.fromEntries(Object.entries(snapshot).map(([name, part]) => [name, JSON.stringify(part)])) as Parts;
}

async function look(options: LookOptions): Promise<Snapshot> {
  const { ledger, roster, workers: fleet, history } = options;
  const [survey, activities] = await Promise.all([ledger.survey().catch(() => null), fleet.look()]);
  const announced = roster.workers().toSorted((a, b) => compare(a.worker, b.worker));
  const processes = [...Map.groupBy(announced, ({ url }) => url).values()];
  const running = processes.flatMap(([first]) => (first ? runsOf(first, activities.get(first.url)) : []));
  const models = modelsOf(announced);
  return {
    pool: poolOf(options, survey, { workers: processes.length, running: running.length, models: models.length }),
    workers: processes.slice(0, most.workers).map((lanes) => workerOf(lanes, activities)),
    models: models.slice(0, most.models),
    running: running.slice(0, most.running),
    queue: queueOf(options, survey),
    recent: [...history.recent()],
    history: history.series(running.map(({ outputTokens, seconds }) => ({ tokens: outputTokens, seconds }))),
  };
}

function poolOf(options: LookOptions, survey: Survey | null, counts: PoolPart['left']): PoolPart {
  const { session, door, degraded, version, gateway, clock } = options;
  const sum = (of: 'held' | 'capacity') => (survey?.workers ?? []).reduce((total, it) => total + it[of], 0);
  return {
    version,
    gateway,
    up: session.up && survey !== null,
    degraded: degraded(),
    draining: door.draining,
    gateways: session.gateways,
    slots: sum('capacity'),
    held: sum('held'),
    waiting: (survey?.waiting ?? []).reduce((total, { tickets }) => total + tickets, 0),
    left: {
      workers: Math.max(0, counts.workers - most.workers),
      running: Math.max(0, counts.running - most.running),
      models: Math.max(0, counts.models - most.models),
    },
    nowMs: clock.now(),
  };
}

/** @param lanes of one process: its own entry first, as names sort */
function workerOf(lanes: readonly Announcement[], activities: ReadonlyMap<string, Activity>): WorkerRow {
  const [first, second] = lanes;
  if (!first) throw new Error('a group is never empty');
  const embeds = (lane: Announcement | undefined) => lane?.worker.endsWith('+embeddings') === true;
  const shown = lanes.flatMap(({ models }) => models).filter(({ loaded, failed }) => loaded || failed !== null);
  return {
    worker: first.worker,
    state: first.state,
    device: first.device,
    slots: embeds(first) ? 0 : first.slots,
    embedSlots: embeds(first) ? first.slots : (second?.slots ?? 0),
    memory: activities.get(first.url)?.memory ?? null,
    models: shown.map(({ name, vramBytes, sizeBytes, pinned = false, expiresAt, failed }) => ({
      name,
      bytes: vramBytes || sizeBytes,
      pinned,
      expiresAt,
      failed: failed === null ? null : (failed.reason ?? 'its engine died too often'),
    })),
  };
}

function runsOf({ worker }: Announcement, activity: Activity | undefined): RunningRow[] {
  return (activity?.runs ?? []).map(({ cachedTokens: _cached, ...run }) => ({ worker, ...run }));
}

function modelsOf(announced: readonly Announcement[]): ModelRow[] {
  const cards = Map.groupBy(
    announced.flatMap(({ models }) => models),
    ({ name }) => name,
  );
  return [...cards]
    .toSorted(([a], [b]) => compare(a, b))
    .map(([name, copies]) => {
      const best = copies.find(({ loaded }) => loaded) ?? copies[0]!;
      const { sizeBytes, parameterSize, quantization, contextTokens, capabilities } = best;
      const loaded = copies.filter((card) => card.loaded).length;
      return {
        name,
        workers: copies.length,
        loaded,
        sizeBytes,
        parameterSize,
        quantization,
        contextTokens,
        capabilities,
      };
    });
}

function queueOf({ room, estimate }: LookOptions, survey: Survey | null): QueuePart {
  const totals = (name: (row: Survey['waiting'][number]) => string) => {
    const sums = new Map<string, number>();
    for (const row of survey?.waiting ?? []) sums.set(name(row), (sums.get(name(row)) ?? 0) + row.tickets);
    return [...sums].toSorted(([, a], [, b]) => b - a);
  };
  const seconds = (ms: number | undefined) => (ms === undefined ? null : Math.round(ms / 1_000));
  const waiting = room.all().filter(({ place }) => place !== null);
  return {
    models: totals(({ model }) => model)
      .slice(0, most.queue)
      .map(([model, tickets]) => ({ model, tickets })),
    priorities: totals(({ priority }) => priorities[priority]).map(([priority, tickets]) => ({ priority, tickets })),
    here: waiting
      .toSorted((a, b) => (a.place ?? 0) - (b.place ?? 0))
      .slice(0, most.queue)
      .map(({ job: { id, model, owner, priority }, place, waitedMs }) => {
        const wait = place === null ? null : estimate.wait(place);
        return {
          request: id,
          model,
          team: owner.team,
          key: owner.key,
          priority: priorities[priority],
          place,
          waitedS: Math.round(waitedMs() / 1_000),
          waitP50S: seconds(wait?.p50Ms),
          waitP90S: seconds(wait?.p90Ms),
        };
      }),
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
