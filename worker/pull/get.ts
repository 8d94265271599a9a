// One GET from a registry: redirects are followed step by step, each judged anew; nothing of ours is told to anybody.
import { request as requestPlain } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as requestTls } from 'node:https';
import type { LookupFunction } from 'node:net';
import { Refusal } from '@berth/shared/outcome.ts';
import { targetOf } from './hosts.ts';
import type { PullHost, Target } from './hosts.ts';

const redirectsMax = 5;

/** Silence of a server after which a try counts as broken off. */
const stallMs = 30_000;

export interface GetOptions {
  hosts: readonly PullHost[];
  /** Other than `stallMs`: for tests. */
  stallMs?: number | undefined;
}

/**
 * The answer at the end of all redirects, whatever its status; the caller reads or destroys it.
 * @throws Refusal `forbidden`; the system's error
 */
export async function get(
  start: URL,
  headers: Record<string, string>,
  { hosts, stallMs: ms = stallMs }: GetOptions,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let [url, from]: [URL, URL | null] = [start, null];
  for (let step = 0; step <= redirectsMax; step += 1) {
    const answer = await once(await targetOf(url, from, hosts), headers, ms, signal);
    const { statusCode = 0, headers: got } = answer;
    if (![301, 302, 303, 307, 308].includes(statusCode)) return answer;
    answer.destroy();
    const location = got.location ?? '';
    if (!URL.canParse(location, url.href)) throw new Refusal('pull_failed', `${url.host} redirects to nowhere`);
    [url, from] = [new URL(location, url), url];
  }
  throw new Refusal('pull_failed', `${start.host} redirects more than ${redirectsMax} times`);
}

function once(
  { url, addresses }: Target,
  headers: Record<string, string>,
  timeout: number,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const known: LookupFunction = (_name, options, tell) => {
    const [first] = addresses;
    if (first === undefined) tell(new Error('it has no address'), '', 0);
    else if (options.all === true) tell(null, addresses);
    else tell(null, first.address, first.family);
  };
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'http:' ? requestPlain : requestTls;
    const sent = request(url, {
      headers: { 'user-agent': 'berth', ...headers },
      lookup: known,
      timeout,
      agent: false,
    });
    let answer: IncomingMessage | null = null;
    const stop = (error: Error): void => void (answer ?? sent).destroy(error);
    // Node's own `signal` lets go of a request once it is sent, before its answer has come.
    const abort = (): void => stop(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    sent.on('close', () => signal.removeEventListener('abort', abort));
    sent.on('timeout', () => stop(new Error(`nothing came for ${timeout / 1_000} s`)));
    sent.on('error', reject);
    sent.on('response', (came) => {
      answer = came;
      resolve(came);
    });
    if (signal.aborted) abort();
    sent.end();
  });
}

/** A small body, whole. @throws Error beyond the bound, or when it breaks off */
export async function textOf(answer: IncomingMessage, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Refusal('pull_failed', `an answer of a registry has more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
