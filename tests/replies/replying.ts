// How the replies' tests drive a reply: events in, the bytes of a whole stream out.
import type { Settlement } from '@berth/shared/settlement.ts';
import type { EngineEvent, TokenScore } from '@berth/worker/engine/engine.ts';
import type { Reply, ReplyContext } from '@berth/worker/replies/reply.ts';
import { hermes } from '@berth/worker/replies/tools/hermes.ts';

const createdMs = Date.UTC(2026, 10, 22, 9, 30, 0, 500);
export const ending = { nowMs: createdMs + 250, totalMs: 250 };

export const aContext = (fields: Partial<ReplyContext> = {}): ReplyContext => ({
  id: '00ff',
  createdMs,
  thoughts: null,
  syntax: hermes,
  ...fields,
});

export const aSettlement = (fields: Partial<Settlement> = {}): Settlement => ({
  finish: 'stop',
  promptTokens: 12,
  cachedTokens: 8,
  outputTokens: 3,
  ttftMs: 20,
  prefillMs: 10.5,
  decodeMs: 30.25,
  loadMs: 0,
  ...fields,
});

/** What an engine tells of an answer in these pieces. */
export function eventsOf(pieces: readonly string[], scored = false, finish: 'stop' | 'length' = 'stop'): EngineEvent[] {
  const usage = { promptTokens: 12, cachedTokens: 8, outputTokens: pieces.length, prefillMs: 10.5, decodeMs: 30.25 };
  return [
    { kind: 'started', promptTokens: 12, cachedTokens: 8 },
    ...pieces
      .filter((text) => text !== '')
      .map((text): EngineEvent => ({ kind: 'text', text, tokens: 1, ...(scored && { scores: [scoreOf(text)] }) })),
    { kind: 'end', finish, usage },
  ];
}

const ended = ({ finish }: Settlement) => (finish === 'length' ? 'length' : 'stop');

function scoreOf(token: string): TokenScore {
  const score = { token, logprob: -0.5, bytes: [...Buffer.from(token)] };
  return { ...score, top: [score, { token: '\uFFFD', logprob: -2, bytes: [0xe2] }] };
}

/** Everything that a client of a streamed reply receives. */
export function streamed(reply: Reply, pieces: readonly string[], settlement = aSettlement(), scored = false): string {
  return (
    eventsOf(pieces, scored, ended(settlement))
      .map((event) => reply.piece(event, createdMs))
      .join('') + reply.end(settlement, ending)
  );
}

/** The body that a client of a reply sent whole receives. */
export function whole(reply: Reply, pieces: readonly string[], settlement = aSettlement(), scored = false): unknown {
  const early = eventsOf(pieces, scored, ended(settlement))
    .map((event) => reply.piece(event, createdMs))
    .join('');
  if (early !== '') throw new Error('a whole reply has sent something early');
  return JSON.parse(reply.whole(settlement, ending)) as unknown;
}
