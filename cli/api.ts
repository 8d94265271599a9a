// Calls of a gateway's admin API, and what their failures mean for the person at the terminal.
import { Failed } from './command.ts';
import type { World } from './command.ts';

/** What /health says. */
export interface Health {
  status: string;
  version: string;
  degraded: boolean;
  gateways: number;
  waiting: number;
  workers: { worker: string; state: string; slots: number; device: string }[];
}

/** @returns the reply's text @throws Failed with a sentence that says what to do */
export async function callText({ url, key }: World, method: string, path: string, body?: unknown): Promise<string> {
  const reply = await send({ url, key }, method, path, body);
  const text = await reply.text();
  if (reply.ok) return text;
  throw new Failed(whyRefused(reply.status, text, key !== null));
}

/** The reply's bytes as they come. @throws Failed */
export async function post(world: World, path: string, body: unknown): Promise<AsyncIterable<Uint8Array>> {
  const reply = await send(world, 'POST', path, body);
  if (reply.ok && reply.body !== null) return reply.body;
  throw new Failed(whyRefused(reply.status, await reply.text(), world.key !== null));
}

/** @throws Failed when the stream breaks off */
export async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const chunk of stream) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      yield* lines.filter((line) => line.trim() !== '');
    }
  } catch (error) {
    if (error instanceof Failed) throw error;
    throw new Failed('the gateway broke off: try again');
  }
  if (rest.trim() !== '') yield rest;
}

/** A gateway that is not ready says so with 503, and says all the same how it is. */
export async function callHealth(world: World): Promise<Health> {
  const reply = await send(world, 'GET', '/health');
  return parsed(world, await reply.text()) as Health;
}

/** @throws Failed when nobody answers */
async function send({ url, key }: Pick<World, 'url' | 'key'>, method: string, path: string, body?: unknown) {
  const headers = new Headers({ 'content-type': 'application/json' });
  if (key !== null) headers.set('authorization', `Bearer ${key}`);
  return await fetch(`${url}${path}`, {
    method,
    headers,
    redirect: 'error',
    ...(body !== undefined && { body: JSON.stringify(body) }),
  }).catch((error: Error) => {
    const why = error.cause instanceof Error ? error.cause.message : error.message;
    throw new Failed(`no gateway answers at ${url} (${why}): set BERTH_URL to its address`);
  });
}

export async function call(world: World, method: string, path: string, body?: unknown): Promise<unknown> {
  return parsed(world, await callText(world, method, path, body));
}

/** @throws Failed when it is not what a gateway says */
export function parsed({ url }: World, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Failed(`what answers at ${url} is no gateway of Berth: set BERTH_URL to its address`);
  }
}

function whyRefused(status: number, text: string, hadKey: boolean): string {
  if (status === 401) {
    return hadKey
      ? 'the gateway does not take this key: set BERTH_KEY to one with the scope admin'
      : 'the gateway wants a key: set BERTH_KEY to one with the scope admin';
  }
  try {
    const { error } = JSON.parse(text) as { error: string | { message: string } };
    return typeof error === 'string' ? error : error.message;
  } catch {
    return `the gateway answered ${status}`;
  }
}
