// The life of a request at a joined server, in the slot that it has: parse → send → pass on, until it ends or is cut.
import type { Call } from '@berth/shared/auth.ts';
import { lackOf } from '@berth/shared/dialects/catalog.ts';
import { object } from '@berth/shared/dialects/check.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { linked } from '../abort.ts';
import { settledTogether } from '../answers.ts';
import type { Endpoint } from '../endpoints.ts';
import { reasonOf } from '../reason.ts';
import { bounded, readBody } from '../serve.ts';
import type { Answer, Exchange } from '../serve.ts';
import type { Reply } from './client.ts';
import { embedded, loadOnly, tokenized } from './computed.ts';
import { framesOf } from './frames.ts';
import { readFrame } from './failing.ts';
import { ollamaPassage, openaiPassage } from './passage.ts';
import type { Asked, Passage } from './passage.ts';
import { boundSilence, heard, send } from './sending.ts';
import type { RelayKit, Sent } from './sending.ts';
import { translatedPassage } from './translate.ts';

/** A server that was left notices that so much later at most (llama-server looks once a second); its slot waits for it. */
const noticeMs = 1_000;

/** @throws what `serve` knows: Refusal, NotStartedHere, GatewayGone */
export async function relay(
  kit: RelayKit,
  path: string,
  endpoint: Endpoint,
  call: Call,
  exchange: Exchange,
): Promise<Answer> {
  const body = object(parseJson(await readBody(exchange.request)), '');
  const generation = bounded(endpoint.parse(body), call.outputMax);
  const model = kit.shelf.find(call.model);
  const kind = kit.shelf.seen?.kind;
  if (model === null || kind === undefined) throw modelNotFound(generation.model);
  const lack = generation.tokenizing ? null : lackOf(generation, [model]);
  if (lack) throw lack;

  using silence = boundSilence(kit);
  using ends = linked([exchange.outbox.signal, exchange.progress.signal, kit.cut, kit.pulse.life, silence.signal]);
  exchange.progress.loaded(generation.maxTokens);
  let asked = false;
  const ask = (to: string, sent: JsonObject): Promise<Reply> => {
    asked = true;
    return send(kit, to, sent, ends.signal);
  };
  const sent: Sent = {
    id: call.lease,
    team: call.owner.team,
    path,
    body,
    generation,
    model,
    kind,
    exchange,
    signal: ends.signal,
    ask,
    heard: silence.heard,
  };
  try {
    return await answered(kit, sent);
  } catch (error) {
    if (asked && ends.signal.aborted) await pause(kit, noticeMs);
    throw ends.signal.aborted ? ends.signal.reason : error;
  }
}

function answered(kit: RelayKit, sent: Sent): Promise<Answer> {
  const { generation } = sent;
  if (generation.embedding) return embedded(kit, sent, generation.embedding);
  if (generation.tokenizing) return tokenized(kit, sent, generation.tokenizing);
  if (generation.prompt === null) return loadOnly(kit, sent);
  return passOn(kit, sent, passageOf(sent));
}

/** 1. Every server here speaks OpenAI's dialect, and only an Ollama its own. */
function passageOf(asked: Asked): Passage {
  if (asked.generation.dialect !== 'ollama') return openaiPassage(asked); // 1
  return asked.kind === 'ollama' ? ollamaPassage(asked) : translatedPassage(asked);
}

/** The answers of a request, one after another in the one slot. */
async function passOn(kit: RelayKit, sent: Sent, passage: Passage): Promise<Answer> {
  const { clock } = kit;
  const { exchange, generation } = sent;
  const settlements: Settlement[] = [];
  let pending = '';
  for (const index of passage.bodies.keys()) {
    const passed = await passOne(kit, sent, passage, index, pending);
    settlements.push(passed.settlement);
    ({ pending } = passed);
  }
  const settlement = settledTogether(settlements, generation);
  const totalMs = clock.monotonic() - exchange.acceptedMs;
  const text = passage.end(settlement, { nowMs: clock.now(), totalMs });
  return { headers: passage.headers, text: generation.stream ? pending + text : text, settlement };
}

/**
 * The server's frames → text on the wire. As with our own engines the head waits for the first token, so that what
 * fails before it is a true HTTP error that the gateway may try elsewhere.
 * @param before text that was not written yet
 */
async function passOne(kit: RelayKit, sent: Sent, passage: Passage, index: number, before: string) {
  const { clock, metrics, pulse } = kit;
  const { exchange, generation, model } = sent;
  const tally = passage.tally();
  let pending = before;
  let firstMs: number | null = null;
  let lastMs = 0;
  for await (const frame of frames(kit, sent, passage, index)) {
    const value = readFrame(pulse, frame);
    const says = tally.read(value);
    pending += passage.read(value, clock.now(), index);
    if (!tally.begun) continue;
    const nowMs = clock.monotonic();
    if (says) exchange.progress.note({ kind: 'text', text: '', tokens: 1 }); // about one token a frame
    if (says && firstMs !== null) metrics.piece(model.name, nowMs - lastMs, 1);
    firstMs ??= nowMs;
    if (says) lastMs = nowMs;
    if (!generation.stream || pending === '') continue;
    await exchange.outbox.write(passage.headers, pending);
    pending = '';
  }
  if (!tally.ended) {
    pulse.suspect();
    throw new Refusal('worker_failed', 'the joined server broke off in the middle of its answer');
  }
  const nowMs = clock.monotonic();
  const settlement = tally.settle((firstMs ?? nowMs) - exchange.acceptedMs, nowMs - exchange.acceptedMs);
  return { pending, settlement };
}

/** Until the server has ended its reply: only then it has forgotten the request. */
async function* frames(kit: RelayKit, sent: Sent, passage: Passage, index: number): AsyncGenerator<string> {
  const { ask, signal } = sent;
  const reply = await ask(passage.path, passage.bodies[index] ?? {});
  try {
    const bytes = heard(reply.body, sent.heard);
    for await (const frame of framesOf(bytes, passage.form)) if (frame !== '[DONE]') yield frame;
  } catch (error) {
    if (signal.aborted || error instanceof Refusal) throw error;
    kit.pulse.down(reasonOf(error));
    throw new Refusal('worker_failed', `the joined server broke off: ${reasonOf(error)}`);
  }
}

function pause({ clock }: RelayKit, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}
