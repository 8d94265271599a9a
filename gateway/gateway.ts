// A gateway put together: the stages of a request's life around one ledger, behind one HTTP server.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Clock } from '@berth/shared/clock.ts';
import { createCrowd } from '@berth/shared/crowd.ts';
import type { Ledger } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { ollama, ollamaUnloaded } from '@berth/shared/dialects/ollama.ts';
import { openModelsFile } from '@berth/shared/models-file.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Random } from '@berth/shared/random.ts';
import { keepCertificate, readCertificate } from '@berth/shared/tls.ts';
import type { TlsFiles } from '@berth/shared/tls.ts';
import { createWorkers } from './activity.ts';
import { createDoor } from './admit.ts';
import { createAliases } from './aliases.ts';
import { cancelRoutes } from './api/cancel.ts';
import { explainRoutes } from './api/explain.ts';
import { askAll, processesOf } from './api/ask-worker.ts';
import { healthRoutes } from './api/health.ts';
import { libraryRoutes } from './api/library.ts';
import { keyRoutes } from './api/keys.ts';
import { modelRoutes } from './api/models.ts';
import { placementRoutes } from './api/placement.ts';
import { poolRoutes } from './api/pool.ts';
import { showRoutes } from './api/show.ts';
import { quarantineRoutes } from './api/quarantine.ts';
import { queueRoutes } from './api/queue.ts';
import { sessionRoutes } from './api/session.ts';
import { usageRoutes } from './api/usage.ts';
import { workerMetricsRoutes } from './api/worker-metrics.ts';
import { createComebacks } from './comeback.ts';
import { boundConnections } from './connections.ts';
import { createHistory } from './console/history.ts';
import { consoleRoutes } from './console/routes.ts';
import { createCors } from './cors.ts';
import { createEstimate } from './estimate.ts';
import { createExplain } from './explain.ts';
import { createAgent, createForward, createTell } from './forward.ts';
import { generatingRoutes } from './generate.ts';
import { createHttpServer } from './http.ts';
import type { Route } from './http.ts';
import type { Job } from './job.ts';
import type { Authenticate } from './keys.ts';
import { createLoads } from './loads.ts';
import { createMetrics } from './metrics.ts';
import { parse } from './parse.ts';
import { mountRoutes } from './passthrough/routes.ts';
import { createSeats } from './passthrough/seats.ts';
import { upstreamRoutes } from './passthrough/upstream.ts';
import { createPlace } from './place.ts';
import type { KeyBook } from './policy/book.ts';
import { limitFailures } from './policy/failures.ts';
import { checkTeller, withIdentity } from './policy/identity.ts';
import { createLimits } from './policy/limits.ts';
import type { Registers } from './policy/registers.ts';
import { createSessions } from './policy/sessions.ts';
import type { Holder } from './policy/sessions.ts';
import type { Usage } from './policy/usage.ts';
import { createPoison } from './poison.ts';
import type { Reply } from './reply.ts';
import { createRetryBudget } from './retry-budget.ts';
import { serve } from './serve.ts';
import { openSession } from './session.ts';
import { settle } from './settle.ts';
import { createStanding } from './standing.ts';
import { timed } from './ledger/timed.ts';
import type { ServingSettings } from './settings.ts';
import { createUpkeep } from './upkeep.ts';
import { createWaitingRoom } from './waiting.ts';
import type { Ticket } from './waiting.ts';
import { createWire } from './wire.ts';
import { createRoster } from './workers/roster.ts';

export interface GatewayOptions {
  ledger: Ledger;
  /** True while the ledger is away and the gateway works with its own share of the slots. */
  degraded: () => boolean;
  /** True when this gateway is the ledger, so that its workers speak to it. */
  alone: boolean;
  /** The pool's secret, with which calls are signed. */
  secret: string;
  authenticate: Authenticate;
  /** Whose session a browser may have. */
  holder: Holder;
  /** Sessions that were left before their time. */
  ended: Registers;
  /** Whether anybody may come in without a key. */
  keyless: boolean;
  /** `null` = plain HTTP. */
  tls: TlsFiles | null;
  book: KeyBook;
  usage: Usage;
  /** What is known of requests that kill engines (`poison.ts`). */
  marks: Registers;
  /** What operators want of models and workers (`standing.ts`). */
  standing: Registers;
  /** How gateways ask each other why a request went where it went (`explain.ts`). */
  questions: Registers;
  settings: ServingSettings;
  clock: Clock;
  random: Random;
  log: Log;
  version: string;
}

export interface Gateway {
  readonly address: AddressInfo;
  readonly routes: readonly Route[];
  /**
   * Says that it goes, and takes requests for `noticeMs` all the same; then refuses what is new, lets what runs finish
   * for at most `timeoutMs`, and closes.
   */
  drain(timeoutMs: number, noticeMs?: number): Promise<void>;
}

/** How often a draining gateway looks whether its last request has ended. */
const drainLookMs = 50;
/** What is told to the last clients has this long to leave. */
const cutMs = 500;

/** @throws the listen error of the server */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { secret, settings, clock, random, log, version } = options;
  const gateway = random.id();
  const roster = createRoster({ clock, log });
  const modelsFile = await openModelsFile({ path: settings.modelsFile, clock, log });
  const shelf = { roster, aliases: createAliases(modelsFile, roster) };
  const room = createWaitingRoom();
  const estimate = createEstimate({ random });
  const retries = createRetryBudget(clock);
  const door = createDoor({ estimate, retries, bytesMax: settings.waitingBytesMax });
  const agent = createAgent();
  const tell = createTell(agent, { secret, clock });
  const metrics = createMetrics({
    version,
    clock,
    door,
    session: () => session,
    degraded: options.degraded,
    survey: () => ledger.survey(),
    roster,
  });
  const ledger = timed(options.ledger, clock, metrics.ledgerCall);
  const loads = createLoads({ ledger, roster, estimate, log, gateway, onClaim: metrics.loadClaim, tell });
  const standing = createStanding({ registers: options.standing, roster, loads, tell, clock, log });
  const onHandOff = metrics.handOff;
  const upkeep = createUpkeep({ roster, room, tell, clock, log });
  const explain = createExplain({ gateway, questions: options.questions, gateways: () => session.gateways, clock });
  const onTurn = () => {
    upkeep();
    void Promise.all([standing.keep(), explain.answer()]);
  };
  const seen = { ledger, room, roster, estimate, loads, onTurn };
  const session = await openSession({ ...seen, clock, log, gateway, onHandOff });

  const refresh = () => session.refresh();
  const onCold = (ticket: Ticket) => void loads.consider([ticket]).then((asSeen) => (asSeen ? undefined : refresh()));
  const comebacks = createComebacks({ clock, secret });
  const { degraded } = options;
  const ledgerSide = { degraded, ledger, room, roster, estimate, comebacks, gateway, refresh, onCold };
  const place = createPlace({ ...ledgerSide, clock, random, log, settings });
  const poison = createPoison({ registers: options.marks, secret, clock, onEvent: metrics.poison });
  const forward = poison.forward(createForward(agent, { secret, gateway, clock, log }));
  const stages = { admit: poison.admit(door.admit), place, forward, retries, estimate };
  const history = createHistory({ clock, waiting: () => session.waiting });
  const settling = { clock, log, metrics, explain, remember: history.ended, learn: estimate.learn };
  const limits = createLimits({ usage: options.usage, clock, gateways: () => session.gateways });
  const open = createCrowd<Reply>();
  const proxies = settings.trustedProxies ?? [];
  const sessions = createSessions({ secret, ended: options.ended, holder: options.holder, clock });
  const identified = withIdentity(options.authenticate, settings.identityHeaders, proxies);

  const wire = createWire({
    hosts: settings.allowedHosts,
    keyless: options.keyless,
    origins: settings.corsOrigins ?? [],
    proxies,
  });
  const passing = {
    address: wire.address,
    check: ({ headers, socket }: IncomingMessage) =>
      checkTeller(settings.identityHeaders, proxies, headers, socket.remoteAddress ?? ''),
    takeSeat: createSeats({ ...shelf, stages, limits, agent, secret, gateway, clock }),
    hold: () => door.hold(),
    bodyBytesMax: settings.bodyBytesMax,
    clock,
  };
  const authenticate = sessions.authenticate(identified);
  const workers = createWorkers({ roster, agent, secret, clock });
  const shown = { ledger, room, estimate, roster, workers, history, version, gateway, clock, wire, authenticate };
  const asking = { agent, secret, gateway, clock, roster };
  const own = [
    ...generatingRoutes(async (route, exchange) => {
      using held = door.hold();
      const job = await parse({ ...shelf, bodyBytesMax: settings.bodyBytesMax, held }, route, exchange);
      exchange.record.understood(job);
      explain.begins(exchange.record, exchange.arrivedMs);
      using _allowance = limits.admit(exchange.owner, job, exchange.record);
      // It needs no slot, and reaches every worker that could have loaded it, seen or not; nothing is loaded for it.
      if (isUnload(job)) {
        const holders = processesOf(roster.model(job.model).map(({ worker }) => worker));
        const unload = { method: 'POST', path: '/internal/unload', model: job.model } as const;
        await askAll(asking, holders, unload, exchange);
        const headers = job.generation.stream ? ollama.streamHeaders : {};
        return exchange.reply.json(200, ollamaUnloaded(job.generation, clock.now()), headers);
      }
      await serve(stages, job, exchange.reply, exchange.record);
    }),
    ...modelRoutes({ ...shelf, clock }),
    ...showRoutes({ ...shelf, agent, secret, gateway, clock }),
    ...libraryRoutes({ ...asking, log, refresh, aliases: shelf.aliases }),
    ...queueRoutes({ ledger, room, estimate, roster }),
    ...healthRoutes({ door, session, degraded: options.degraded, roster, metrics, version }),
    ...workerMetricsRoutes({ roster, agent, secret, clock }),
    ...keyRoutes({ book: options.book, log }),
    ...usageRoutes({ usage: options.usage }),
    ...quarantineRoutes({ poison, log }),
    ...explainRoutes({ explain }),
    ...placementRoutes({ ...shelf, standing, loads, refresh, log }),
    ...sessionRoutes({ sessions }),
    ...cancelRoutes({ room, workers, log }),
    ...(await consoleRoutes({ ...shown, session, door, degraded: options.degraded })),
    ...(options.alone ? poolRoutes({ ledger, secret, clock }) : []),
    ...upstreamRoutes({ ...passing, roster, secret }),
  ];
  const mounts = mountRoutes({ ...passing, mounts: settings.mounts ?? [], routes: own });
  // A page at the root is looked for before the sentence that stands there for programs.
  const routes = [...mounts.filter(({ when }) => when), ...own, ...mounts.filter(({ when }) => !when)];
  const certificate = options.tls && (await readCertificate(options.tls));
  const { server, cut } = createHttpServer({
    routes,
    authenticate: limitFailures(authenticate, clock),
    cors: createCors(settings.corsOrigins ?? []),
    wire,
    certificate,
    clock,
    random,
    leaving: () => door.leaving,
    draining: () => door.draining,
    async settle(reply, arrivedMs, work) {
      using _place = open.add(reply);
      await settle(settling, reply, arrivedMs, work);
    },
  });
  const { connectionsMax: max, connectionsPerAddressMax: perAddressMax } = settings;
  boundConnections(server, { max, perAddressMax, proxies, clock, log });
  try {
    server.listen(settings.port, settings.host);
    await once(server, 'listening');
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
  const renewal =
    certificate && options.tls && server instanceof TlsServer
      ? keepCertificate(server, options.tls, { first: certificate, clock, log })
      : null;
  // A connection that cannot be accepted (too many open files) is not the end of those that are open.
  server.on('error', (error) => log.error('a connection was not accepted', { error: error.message }));

  const emptied = async (timeoutMs: number) => {
    const endMs = clock.monotonic() + timeoutMs;
    // Idle connections stay open: one that is closed just as a client uses it again looks like a failure, and each
    // gets its "draining" with `connection: close`.
    while (door.inside > 0 && clock.monotonic() < endMs) {
      await new Promise<void>((resolve) => clock.after(drainLookMs, resolve));
    }
  };

  return {
    address: server.address() as AddressInfo,
    routes,
    async drain(timeoutMs, noticeMs = 0) {
      door.leave();
      if (noticeMs > 0) await new Promise<void>((resolve) => clock.after(noticeMs, resolve));
      door.drain();
      // New connections are refused at once only when the listener closes; until the last request has ended it
      // answers "draining", so that a load balancer in front sees why.
      await emptied(timeoutMs);
      for (const reply of open) reply.refuse(new Refusal('draining', 'this gateway was shut down', { retryAfterS: 1 }));
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      clock.after(cutMs, cut);
      await closed;
      renewal?.[Symbol.dispose]();
      modelsFile[Symbol.dispose]();
      await session[Symbol.asyncDispose]();
      await agent.destroy();
      await ledger[Symbol.asyncDispose]();
    },
  };
}

/** Ollama's empty prompt with a keep-alive of 0; nothing is loaded for it. */
function isUnload({ generation: { prompt, keepAliveMs } }: Job): boolean {
  return prompt === null && keepAliveMs === 0;
}
