// The connections between gateways and workers: what undici does for the gateway, and node:http for the worker.
import type { createForward } from '../../gateway/forward.ts';
import type { Events } from './events.ts';
import type { Life } from './life.ts';
import type { Network } from './network.ts';

/** A request as it reaches a worker. */
export interface Call {
  path: string;
  headers: Record<string, string>;
}

/** The worker's end of one connection. */
export interface Answering {
  head(status: number, headers: Record<string, string>): void;
  data(text: string): void;
  end(trailers: Record<string, string>): void;
  /** Closes without an end. */
  destroy(): void;
  /** Replaces what is called when the gateway has closed the connection before the end. */
  onClose(gone: () => void): void;
}

export interface Site {
  life: Life;
  /** True when nobody says that the connection is refused: the host is gone, not only the process. */
  vanished: boolean;
  handle(call: Call, answer: Answering): void;
}

export interface Wire {
  /** Who answers at this address now. */
  serve(origin: string, site: Site): void;
  /** The agent of a gateway. */
  agent(life: Life): Agent;
  /** A process has died: the others hear of it by their connections, if its host still speaks for it. */
  died(life: Life, heard: boolean): void;
}

/** As in the production's agent. */
const connectMs = 1_000;

type Agent = Parameters<typeof createForward>[0];
type Options = Parameters<Agent['dispatch']>[0];
type Handler = Parameters<Agent['dispatch']>[1];
type Controller = Parameters<NonNullable<Handler['onRequestStart']>>[0];

interface WireOptions {
  events: Events;
  network: Network;
  /** A request leaves a gateway; from here on it may have started. */
  onSent: (jobId: string) => void;
}

export function createWire({ events, network, onSent }: WireOptions): Wire {
  const sites = new Map<string, Site>();
  const open = new Set<Connection>();

  interface Connection {
    gateway: Life;
    worker: Life;
    /** Tells the other side that this one has closed. */
    closedByGateway(): void;
    closedByWorker(code: string): void;
  }

  function failLater(gateway: Life, handler: Handler, controller: Controller, code: string, delayMs: number) {
    const error = Object.assign(new Error(code), { code });
    events.after(delayMs, () => gateway.deliver(() => handler.onResponseError?.(controller, error)));
  }

  function connect(gateway: Life, site: Site, call: Call, handler: Handler): void {
    const worker = site.life;
    const held: (() => void)[] = [];
    let paused = false;
    let state: 'open' | 'closed' = 'open';
    let gone = (): void => {};
    let toGatewayMs = 0;
    let toWorkerMs = 0;

    const flush = (): void => {
      if (paused || state === 'closed') return;
      const next = held.shift();
      if (next === undefined) return;
      next();
      flush();
    };
    /** In their order, and after the way is open. */
    const toGateway = (action: () => void): void => {
      toGatewayMs = Math.max(toGatewayMs, network.openMs(gateway.name, worker.name) + network.latencyMs());
      events.after(toGatewayMs - events.nowMs, () =>
        gateway.deliver(() => {
          held.push(action);
          flush();
        }),
      );
    };
    const toWorker = (action: () => void): void => {
      toWorkerMs = Math.max(toWorkerMs, network.openMs(gateway.name, worker.name) + network.latencyMs());
      events.after(toWorkerMs - events.nowMs, () => worker.deliver(action));
    };
    const close = (): void => {
      state = 'closed';
      open.delete(connection);
    };
    const connection: Connection = {
      gateway,
      worker,
      closedByGateway: () => toWorker(() => gone()),
      closedByWorker(code) {
        paused = false;
        toGateway(() => {
          close();
          handler.onResponseError?.(controller, Object.assign(new Error(code), { code }));
        });
      },
    };
    open.add(connection);

    const controller: Controller = {
      get aborted() {
        return state === 'closed';
      },
      get paused() {
        return paused;
      },
      get reason() {
        return null;
      },
      rawHeaders: null,
      rawTrailers: null,
      abort(reason) {
        if (state === 'closed') return;
        close();
        connection.closedByGateway();
        queueMicrotask(() => handler.onResponseError?.(controller, reason));
      },
      pause: () => void (paused = true),
      resume() {
        paused = false;
        flush();
      },
    };
    const answer: Answering = {
      head: (status, headers) => toGateway(() => handler.onResponseStart?.(controller, status, headers)),
      data: (text) => toGateway(() => handler.onResponseData?.(controller, Buffer.from(text))),
      end(trailers) {
        gone = () => {};
        toGateway(() => {
          close();
          handler.onResponseEnd?.(controller, trailers);
        });
      },
      destroy: () => connection.closedByWorker('UND_ERR_SOCKET'),
      onClose: (action) => void (gone = action),
    };
    handler.onRequestStart?.(controller, {});
    if (!worker.alive && !site.vanished) connection.closedByWorker('ECONNRESET');
    else if (state === 'open') {
      onSent(call.headers['x-request-id'] ?? '');
      toWorker(() => site.handle(call, answer));
    }
  }

  function dispatch(gateway: Life, options: Options, handler: Handler): boolean {
    const call = { path: options.path, headers: options.headers as Record<string, string> };
    const site = sites.get(String(options.origin));
    const controller = deadController();
    if (site === undefined || (!site.life.alive && !site.vanished)) {
      failLater(gateway, handler, controller, 'ECONNREFUSED', network.latencyMs());
    } else if (site.vanished || network.isCut(gateway.name, site.life.name)) {
      failLater(gateway, handler, controller, 'UND_ERR_CONNECT_TIMEOUT', connectMs);
    } else {
      events.after(network.latencyMs(), () => gateway.deliver(() => connect(gateway, site, call, handler)));
    }
    return true;
  }

  return {
    serve: (origin, site) => void sites.set(origin, site),
    // The gateway uses nothing of the agent but `dispatch`.
    agent: (life) =>
      ({
        dispatch: (options: Options, handler: Handler) => dispatch(life, options, handler),
      }) as Agent,
    died(life, heard) {
      for (const connection of open) {
        if (connection.gateway !== life && connection.worker !== life) continue;
        open.delete(connection);
        if (!heard) continue;
        if (connection.gateway === life) connection.closedByGateway();
        else connection.closedByWorker('ECONNRESET');
      }
    },
  };
}

/** Of a connection that was never made. */
function deadController(): Controller {
  return {
    aborted: false,
    paused: false,
    reason: null,
    rawHeaders: null,
    rawTrailers: null,
    abort() {},
    pause() {},
    resume() {},
  };
}
