// The client of both engines: one streamed completion, and when each of its pieces came.
import { request } from 'node:http';
import { controlTokens } from '../../models/dialogues/chat.ts';

/**
 * Control tokens and bytes of our random models. A deep one comes to say nothing else, and then ends, each engine after
 * another number of tokens: with these forbidden every answer has the tokens that were asked for.
 */
export const forbidden: [token: number, bias: number][] = Array.from(
  { length: 256 + controlTokens.length },
  (_, token) => [token, -1e9],
);

/** No answer of either engine takes this long: what does breaks its sample instead of hanging the run. */
const silenceMsMax = 60_000;
const answerMsMax = 90_000;

export interface Stream {
  /** Milliseconds from the request to each piece of text; one piece is one token. */
  piecesMs: number[];
  /** Milliseconds from the request to its end, or to the abort. */
  endMs: number;
}

export interface Asked {
  prompt: string;
  tokens: number;
  /** Requests of one scope may reuse each other's prefix. */
  scope: string;
  reuse: boolean;
  onPiece?: (count: number) => void;
  signal?: AbortSignal;
}

/** @throws Error when the stream breaks, unless it was aborted */
export function complete(port: number, { prompt, tokens, scope, reuse, onPiece, signal }: Asked): Promise<Stream> {
  const asked = { prompt, n_predict: tokens, stream: true, temperature: 0, cache_prompt: reuse, scope };
  const body = JSON.stringify({ ...asked, logit_bias: forbidden });
  const startedAt = performance.now();
  const stream: Stream = { piecesMs: [], endMs: 0 };
  return new Promise((resolve, reject) => {
    const over = (error: Error | null): void => {
      clearTimeout(late);
      stream.endMs = performance.now() - startedAt;
      if (error !== null && signal?.aborted !== true) reject(error);
      else resolve(stream);
    };
    // A connection for each request: llama-server ends idle ones when it likes, and the next request on one broke off.
    const to = { port, host: '127.0.0.1', path: '/completion', method: 'POST', agent: false } as const;
    const options = { ...to, timeout: silenceMsMax, ...(signal && { signal }) };
    const call = request({ ...options, headers: { 'content-type': 'application/json' } }, (reply) => {
      if (reply.statusCode !== 200) over(new Error(`status ${reply.statusCode}`));
      let rest = '';
      reply.setEncoding('utf8');
      reply.on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.includes('"stop":false') && !line.includes('"content":""')) piece();
      });
      reply.once('end', () => over(null));
      reply.on('error', over);
    });
    const piece = (): void => {
      stream.piecesMs.push(performance.now() - startedAt);
      onPiece?.(stream.piecesMs.length);
    };
    // An aborted call may fail twice: as aborted, and by its connection's end.
    call.on('error', over);
    call.on('timeout', () => call.destroy(new Error(`nothing came for ${silenceMsMax / 1000} s`)));
    const late = setTimeout(() => call.destroy(new Error(`no end after ${answerMsMax / 1000} s`)), answerMsMax);
    call.end(body);
  });
}

const syllables = Array.from('bdfghjklmnprstvwz').flatMap((consonant) =>
  Array.from('aeiou', (vowel) => consonant + vowel),
);

/** Words of which each is one token of our random models; the same seed gives the same words. */
export function words(count: number, seed: number): string {
  let state = seed >>> 0 || 1;
  const next = (): string => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return ` ${syllables[Math.floor((state / 2 ** 32) * syllables.length)]}`;
  };
  return Array.from({ length: count }, next).join('');
}
