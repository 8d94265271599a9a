// The client of the simulation: one request, what it receives, and how that ends for it.
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Events } from './events.ts';
import type { Life } from './life.ts';

/** How a request ended for its client. `reset` = the gateway died; `cut` = a destroyed connection after the head. */
export type Ending = 'ok' | 'refused' | 'cut' | 'reset' | 'gone';

export interface Reading {
  status: number;
  text: string;
}

export interface Client {
  /** What it has received so far. */
  readonly reading: Reading;
  /** What the gateway writes to. */
  readonly response: ServerResponse;
  /** The client goes away. */
  abort(): void;
  /** The gateway has died. */
  reset(): void;
  /** Takes no bytes from now on. */
  stall(): void;
}

/**
 * The gateway's end of a client's connection, as node:http gives it: only what `createReply` uses.
 * @param onEnding called once, if all is well
 */
export function createClient(events: Events, life: Life, onEnding: (ending: Ending) => void): Client {
  const emitter = new EventEmitter();
  const reading: Reading = { status: 0, text: '' };
  let ended: Ending | null = null;
  let stalled = false;
  let full = false;

  const end = (ending: Ending): void => {
    // A destroyed connection after the end is nothing; a second end would be the gateway's fault, and is told.
    const first = ended === null;
    if (
      !first &&
      (ended === 'gone' || ended === 'reset' || ending === 'cut' || ending === 'gone' || ending === 'reset')
    )
      return;
    ended ??= ending;
    onEnding(ending);
    events.after(0, () => life.deliver(() => emitter.emit('close')));
  };
  const response = Object.assign(emitter, {
    headersSent: false,
    destroyed: false,
    writableFinished: false,
    writeHead(status: number) {
      response.headersSent = true;
      reading.status = status;
      return response;
    },
    write(chunk: Uint8Array | string, written?: () => void) {
      if (stalled) full = true;
      else if (ended === null) reading.text += String(chunk);
      if (written && !full) events.after(0, () => life.deliver(written));
      return !full;
    },
    end(chunk?: string) {
      // What is small still fits into the buffers of the system, though nobody reads.
      if (full) return;
      if (chunk !== undefined) reading.text += chunk;
      response.writableFinished = ended === null;
      end(reading.status === 200 ? 'ok' : 'refused');
    },
    destroy() {
      response.destroyed = true;
      end('cut');
    },
  });

  return {
    reading,
    response: response as unknown as ServerResponse,
    abort() {
      response.destroyed = true;
      end('gone');
    },
    reset() {
      response.destroyed = true;
      end('reset');
    },
    stall: () => void (stalled = true),
  };
}
