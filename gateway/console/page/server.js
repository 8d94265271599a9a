// What the page asks of the gateway that served it. The session is a cookie that no script can read.

/** An answer that is not a success: what the gateway says, or what the network did. */
export class Refused extends Error {
  /** @param {number} status 0 = no answer @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {{ headers?: Record<string, string>, signal?: AbortSignal }} [more]
 * @returns {Promise<Response>} a success
 * @throws {Refused}
 */
export async function ask(method, path, body, more = {}) {
  const json = body === undefined ? {} : { body: JSON.stringify(body) };
  const headers = { ...(body !== undefined && { 'content-type': 'application/json' }), ...more.headers };
  const options = { method, credentials: /** @type {const} */ ('same-origin'), ...json, ...more, headers };
  const reply = await fetch(path, options).catch((error) => {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Refused(0, 'The gateway does not answer.');
  });
  if (reply.ok) return reply;
  throw new Refused(reply.status, await sentenceOf(reply));
}

/** @param {Response} reply */
async function sentenceOf(reply) {
  const told = await reply.json().catch(() => null);
  const message = told?.error?.message ?? told?.error;
  return typeof message === 'string' ? message : `The gateway answered with ${reply.status}.`;
}

/**
 * The lines of a stream, as they come.
 * @param {Response} reply
 */
export async function* linesOf(reply) {
  if (reply.body === null) return;
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/**
 * Follows the pool until the signal aborts or the session ends. A lost connection is made again.
 * @param {{ onChange: (parts: Partial<import('../snapshot.ts').Snapshot>) => void, onLost: (why: string) => void,
 *   onEnd: (why: string) => void, signal: AbortSignal }} follower
 */
export async function follow({ onChange, onLost, onEnd, signal }) {
  for (let tries = 0; !signal.aborted; tries += 1) {
    try {
      let ended = false;
      const reply = await ask('GET', '/console/events', undefined, { signal });
      for await (const line of linesOf(reply)) {
        if (line.startsWith('event: ended')) ended = true;
        else if (line.startsWith('data: ') && !ended) {
          const parts = JSON.parse(line.slice(6));
          if (parts.error) throw new Refused(503, parts.error.message);
          tries = 0;
          onChange(parts);
        }
      }
      if (ended) return onEnd('Your session has ended.');
      onLost('The connection was closed.');
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) return onEnd(error.message);
      onLost(error instanceof Refused ? error.message : 'The connection was lost.');
    }
    await pause(Math.min(10_000, 500 * 2 ** tries), signal);
  }
}

/** @param {number} ms @param {AbortSignal} signal */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });
}
