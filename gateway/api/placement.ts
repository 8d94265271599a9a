// What operators do with models and workers while the pool runs: pin, preload, drain, move, and what holds now.
import { fieldsOf, name, refuse } from '@berth/shared/dialects/check.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { readBody } from '../http.ts';
import type { Exchange, Route } from '../http.ts';
import type { Loads } from '../loads.ts';
import type { Standing } from '../standing.ts';
import { copiesFor } from './copies.ts';
import type { Shelf } from './copies.ts';

interface Options extends Shelf {
  standing: Standing;
  loads: Pick<Loads, 'want'>;
  /** Brings the roster up to date. */
  refresh: () => Promise<void>;
  log: Log;
}

const bodyBytesMax = 64 * 1_024;
/** The pool changes while it is looked at, but not for ever. */
const triesMax = 3;
const noStore = { 'cache-control': 'no-store' };

/** What a body names, looked up: the worker is the lane that has the model. */
interface Named {
  model: string;
  /** `null` = none was named. */
  worker: string | null;
}

export function placementRoutes({ standing, loads, refresh, log, ...shelf }: Options): Route[] {
  const { roster } = shelf;

  /** @throws Refusal `model_not_found`, `bad_request` */
  const read = async (exchange: Exchange): Promise<Named> => {
    await refresh();
    const body = fieldsOf(parseJson(await readBody(exchange, bodyBytesMax)), '');
    const asked = body.required('model', name);
    const worker = body.optional('worker', name);
    const copies = copiesFor(asked, exchange.owner.rights, shelf);
    const [first] = copies;
    if (!first) throw modelNotFound(asked);
    if (worker === null) return { model: first.card.name, worker };
    const own = copies.find((copy) => processOf(copy.worker.worker) === processOf(worker));
    if (own) return { model: first.card.name, worker: own.worker.worker };
    return refuse(
      'worker',
      `has no such model: ${copies
        .map((copy) => copy.worker.worker)
        .sort()
        .join(', ')} have it`,
    );
  };
  const readWorker = async (exchange: Exchange): Promise<string> => {
    await refresh();
    const worker = fieldsOf(parseJson(await readBody(exchange, bodyBytesMax)), '').required('worker', name);
    if (roster.worker(worker)) return worker;
    const there = roster
      .workers()
      .map((each) => each.worker)
      .sort();
    return refuse('worker', `is not there: ${there.join(', ') || 'none'} are`);
  };
  const say = (what: string, fields: object, { owner }: Exchange) => log.warn(what, { ...fields, by: owner.id });
  const answer = ({ reply }: Exchange, status: number, body: object) =>
    reply.json(status, JSON.stringify(body), noStore);

  /** @throws Refusal `load_failed` when nothing can be done now */
  const load = async ({ model, worker }: Named) => {
    for (let tries = 0; tries < triesMax; tries += 1) {
      const wanted = await loads.want(model, worker);
      if (wanted === null) break;
      if (wanted.state !== 'moved') return wanted;
      await refresh();
    }
    const where = worker === null ? 'no worker can take it now' : `${worker} cannot take it now`;
    throw new Refusal('load_failed', `${where}: it drains, its models are pinned or just loaded, or the load failed`);
  };

  const pin = async (exchange: Exchange) => {
    const { model, worker } = await read(exchange);
    const there = await load({ model, worker });
    await standing.set({ kind: 'pin', worker: there.worker, model, on: true });
    say('a model was pinned', { model, worker: there.worker }, exchange);
    await standing.keep();
    answer(exchange, 200, { model, worker: there.worker, pinned: true, state: there.state });
  };
  const unpin = async (exchange: Exchange) => {
    const { model, worker } = await read(exchange);
    const pins = standing.list().filter((it) => it.kind === 'pin' && it.model === model);
    const off = pins.filter((it) => worker === null || it.worker === worker);
    for (const it of off) await standing.set({ ...it, on: false });
    const workers = off.map((it) => it.worker);
    say('a model was unpinned', { model, workers }, exchange);
    await standing.keep();
    answer(exchange, 200, { model, workers, pinned: false });
  };
  const preload = async (exchange: Exchange) => {
    const named = await read(exchange);
    const there = await load(named);
    say('a model was preloaded', { model: named.model, worker: there.worker }, exchange);
    answer(exchange, there.state === 'loaded' ? 200 : 202, { model: named.model, ...there });
  };
  const drain = (on: boolean) => async (exchange: Exchange) => {
    const worker = await readWorker(exchange);
    await standing.set({ kind: 'drain', worker, model: '', on });
    say(on ? 'a worker was drained' : 'a worker was undrained', { worker }, exchange);
    await standing.keep();
    answer(exchange, 200, { worker, drained: on });
  };
  const move = async (exchange: Exchange) => {
    const { model, worker } = await read(exchange);
    if (worker === null) throw new Refusal('bad_request', 'worker is required', { param: 'worker' });
    const { state } = await load({ model, worker });
    const pins = standing.list().filter((it) => it.kind === 'pin' && it.model === model && it.worker !== worker);
    for (const it of pins) await standing.set({ ...it, on: false });
    if (pins.length > 0) await standing.set({ kind: 'pin', worker, model, on: true });
    await standing.set({ kind: 'move', worker, model, on: true });
    say('a model is moved', { model, worker }, exchange);
    await standing.keep();
    answer(exchange, 202, { model, worker, state });
  };
  const list = async (exchange: Exchange) => {
    await refresh();
    const wanted = standing.list();
    const of = (kind: string) =>
      wanted.filter((it) => it.kind === kind).map(({ model, worker }) => ({ model, worker }));
    const [pins, drained] = [of('pin'), of('drain').map(({ worker }) => worker)];
    const isPinned = (model: string, worker: string) => pins.some((it) => it.model === model && it.worker === worker);
    const models = roster.workers().flatMap(({ worker, models: cards }) =>
      cards.map((card) => ({
        model: card.name,
        worker,
        state: card.loaded ? 'loaded' : card.failed ? 'failed' : 'on disk',
        why: card.failed?.reason ?? null,
        sizeBytes: card.sizeBytes,
        vramBytes: card.vramBytes,
        contextTokens: card.contextTokens,
        expiresAt: card.expiresAt,
        pinned: isPinned(card.name, worker),
      })),
    );
    answer(exchange, 200, { pins, drained, moves: of('move'), models });
  };

  const admin = { scope: 'admin', dialect: openai } as const;
  const post = (path: string, handle: Route['handle']): Route => ({ ...admin, method: 'POST', path, handle });
  return [
    { ...admin, method: 'GET', path: '/admin/placement', handle: list },
    post('/admin/pin', pin),
    post('/admin/unpin', unpin),
    post('/admin/preload', preload),
    post('/admin/drain', drain(true)),
    post('/admin/undrain', drain(false)),
    post('/admin/move', move),
  ];
}

/** The lanes of a worker are one process: `gpu-0+embeddings` is on `gpu-0`. */
function processOf(worker: string): string {
  return worker.replace(/\+.*$/, '');
}
