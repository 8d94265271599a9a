// Many requests at once, each with a word of its own, and what came of them.
import { expect } from 'vitest';
import { begin, chat, ollamaLines } from './requests.ts';
import type { Answer } from './requests.ts';

const tokens = 8;
const wordOf = (index: number) => `word${index}end `;

export interface Burst {
  /** How many have ended so far. */
  readonly ended: number;
  /** All of them, in the order in which they were asked; `null` = the connection was lost before any head. */
  readonly answers: Promise<(Answer | null)[]>;
}

/** Asks all at once, over these gateways in turn. Each answer takes some 8 × 5 ms. */
export function burst(urls: readonly string[], count: number): Burst {
  let ended = 0;
  const one = async (index: number): Promise<Answer | null> => {
    const text = `[[tokenDelayMs=5]] ${wordOf(index).repeat(tokens)}`;
    const { answer } = begin({ url: urls[index % urls.length] ?? '', path: '/api/chat', body: chat(text) });
    return answer.catch(() => null).finally(() => (ended += 1));
  };
  const answers = Promise.all(Array.from({ length: count }, (_, index) => one(index)));
  return {
    get ended() {
      return ended;
    },
    answers,
  };
}

/** True for a whole answer, which then holds its own word and one end; anything else must not look like one. */
export function isWhole(answer: Answer | null, index: number): boolean {
  if (answer === null) return false;
  const lines = ollamaLines(answer.text);
  const said = lines.map(({ message }) => message?.content ?? '').join('');
  const ends = lines.filter(({ done }) => done).length;
  if (answer.status !== 200 || !answer.clean) {
    expect(ends).toBe(0);
    expect(lines.at(-1)?.error).toMatch(/\w/);
    return false;
  }
  expect({ said, ends }).toEqual({ said: wordOf(index).repeat(tokens), ends: 1 });
  return true;
}

/** True for one that was not answered and may be sent again: nothing of it was started. */
export function isPutOff(answer: Answer | null): boolean {
  return answer?.status === 503 && Number(answer.headers['retry-after']) > 0;
}

/**
 * The most answers that each worker wrote at the same time, by its own clock: a line of Ollama's tells when it was
 * made, and between its first and its last line a request certainly holds its slot.
 */
export function mostAtOnce(answers: readonly (Answer | null)[]): Map<string, number> {
  const byWorker = servedBy(answers);
  return new Map([...byWorker].map(([worker, own]) => [worker, mostOf(own.map(spanOf))]));
}

/**
 * The answers of each worker. On a slow machine a client may wait so long that its head is sent before a worker is
 * chosen: whose answer it got is not known, and such are left out.
 */
export function servedBy(answers: readonly (Answer | null)[]): Map<string, Answer[]> {
  const begun = answers.filter((answer) => answer?.status === 200).filter((answer) => answer !== null);
  const known = begun.filter(({ headers }) => headers['berth-worker'] !== undefined);
  return Map.groupBy(known, ({ headers }) => String(headers['berth-worker']));
}

interface Span {
  fromMs: number;
  toMs: number;
}

function spanOf({ text }: Answer): Span {
  // Lines without content are a gateway's: they tell a client that it still waits.
  const own = ollamaLines(text).filter(({ done, message }) => done || Boolean(message?.content));
  const times = own.map(({ created_at: at = '' }) => Date.parse(at));
  return { fromMs: Math.min(...times), toMs: Math.max(...times) };
}

function mostOf(spans: readonly Span[]): number {
  const running = (atMs: number) => spans.filter(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs).length;
  return Math.max(...spans.map(({ fromMs }) => running(fromMs)));
}
