// A gateway of the simulation: the production's stages, put together as gateway/gateway.ts does, without a server.
import { openai } from '@berth/shared/dialects/openai.ts';
import { silentLog } from '@berth/shared/log.ts';
import { milestonesOf } from '@berth/shared/prefix.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Random } from '@berth/shared/random.ts';
import { createDoor } from '../../gateway/admit.ts';
import type { Door } from '../../gateway/admit.ts';
import { createComebacks } from '../../gateway/comeback.ts';
import { createEstimate, type Estimate } from '../../gateway/estimate.ts';
import type { PromisedWait } from '../../gateway/eta.ts';
import { createForward, type Forward } from '../../gateway/forward.ts';
import type { Job } from '../../gateway/job.ts';
import { createFallbackLedger, type FallbackLedger } from '../../gateway/ledger/fallback.ts';
import { createLoads } from '../../gateway/loads.ts';
import type { Metrics } from '../../gateway/metrics.ts';
import { createPlace } from '../../gateway/place.ts';
import { createPoison } from '../../gateway/poison.ts';
import type { Registers } from '../../gateway/policy/registers.ts';
import { createReply } from '../../gateway/reply.ts';
import { createRetryBudget } from '../../gateway/retry-budget.ts';
import { serve } from '../../gateway/serve.ts';
import { openSession } from '../../gateway/session.ts';
import { settle } from '../../gateway/settle.ts';
import { createWaitingRoom, type Ticket, type WaitingRoom } from '../../gateway/waiting.ts';
import { createRoster } from '../../gateway/workers/roster.ts';
import { createClient, type Client, type Ending } from './client.ts';
import type { Events } from './events.ts';
import { createLife, type Life } from './life.ts';
import { secret, type Work } from './load.ts';
import type { Oracle } from './oracle.ts';
import type { LedgerServer, Link } from './server.ts';
import type { Wire } from './wire.ts';

export interface GatewayLimits {
  waitingMax: number;
  waitingPerKeyMax: number;
  queueTimeoutMs: number;
}

export interface SimGateway {
  readonly life: Life;
  /** Its name in the ledger. */
  readonly id: string;
  readonly link: Link;
  readonly room: WaitingRoom;
  readonly ledger: FallbackLedger;
  readonly door: Door;
  /** Most tickets that may wait here while the ledger is away. */
  ownWaitingMax(): number;
  /** A client sends its request here. */
  ask(work: Work, onEnding: (ending: Ending) => void): Client;
  kill(heard: boolean): void;
}

export interface GatewayParts {
  events: Events;
  wire: Wire;
  server: LedgerServer;
  oracle: Oracle;
  random: Random;
  limits: GatewayLimits;
  /** What all gateways know of requests that kill engines. */
  marks: Registers;
}

/** Settles when the gateway takes requests. @throws LedgerUnavailable, as a gateway without its ledger does not start */
export async function createSimGateway(parts: GatewayParts, name: string): Promise<SimGateway> {
  const { events, wire, server, oracle, random, limits: settings } = parts;
  const life = createLife(name, events);
  const { clock } = life;
  const link = server.link(life);
  const log = silentLog;
  const ledger = createFallbackLedger({ shared: link, clock, log });
  const id = random.id();

  const roster = createRoster({ clock, log });
  const room = createWaitingRoom();
  const estimate = watched(createEstimate({ random }), oracle);
  const retries = createRetryBudget(clock);
  const door = createDoor({ estimate, retries, bytesMax: 1_000_000 });
  const loads = createLoads({ ledger, roster, estimate, log, gateway: id, onClaim: () => {}, tell: async () => {} });
  const ours = { ledger, room, roster, estimate, loads, onTurn: () => {} };
  const session = await openSession({ ...ours, clock, log, gateway: id, onHandOff: () => {} });
  const refresh = () => session.refresh();
  const onCold = (ticket: Ticket) => void loads.consider([ticket]).then((asSeen) => (asSeen ? undefined : refresh()));
  const comebacks = createComebacks({ clock, secret });
  const degraded = () => ledger.degraded;
  const ledgerSide = { degraded, ledger, room, roster, estimate, comebacks, gateway: id, refresh, onCold };
  const place = createPlace({ ...ledgerSide, clock, random, log, settings });

  const metrics: Metrics = {
    request: (_record, outcome) => oracle.outcome(outcome),
    handOff: () => {},
    poison: oracle.poison,
    ledgerCall: () => {},
    loadClaim: () => {},
    scrape: async () => ({ contentType: '', text: '' }),
  };
  const poison = createPoison({ registers: parts.marks, secret, clock, onEvent: metrics.poison });
  const sending = createForward(wire.agent(life), { secret, gateway: id, clock, log });
  const watching = poison.forward((job, ...rest) => {
    oracle.tried(job.id);
    return sending(job, ...rest);
  });
  const forward: Forward = async (job, ...rest) => {
    try {
      return await watching(job, ...rest);
    } finally {
      for (const [name, { state }] of poison.list()) if (state === 'quarantined') oracle.quarantined(name, job.id);
    }
  };
  const settling = {
    clock,
    log,
    metrics,
    remember: () => undefined,
    learn: estimate.learn,
    explain: { ended: () => {} },
  };
  const clients = new Set<Client>();

  async function run(work: Work, client: Client): Promise<void> {
    const { response } = client;
    const arrivedMs = clock.monotonic();
    const reply = createReply({
      response,
      headers: {},
      dialect: openai,
      requestId: work.id,
      clock,
      keepAlive: () => true,
    });
    await settle(settling, reply, arrivedMs, async (record) => {
      // What `parse` says of a model that no worker has.
      if (roster.expected(work.model).length === 0) throw new Refusal('no_worker', 'no worker has this model');
      const job = jobOf(work, arrivedMs);
      record.understood(job);
      await serve({ admit: poison.admit(door.admit), place, forward, retries, estimate }, job, reply, record);
    });
  }

  return {
    life,
    id,
    link,
    room,
    ledger,
    door,
    ownWaitingMax: () => Math.ceil(settings.waitingMax / session.gateways),
    ask(work, onEnding) {
      const client = createClient(events, life, (ending) => {
        clients.delete(client);
        onEnding(ending);
      });
      clients.add(client);
      life.deliver(() => void run(work, client));
      return client;
    },
    kill(heard) {
      life.kill();
      link.closed(heard);
      wire.died(life, heard);
      for (const client of clients) client.reset();
    },
  };
}

/** The same estimate; the oracle hears what was promised and how it came. */
function watched(estimate: Estimate, oracle: Oracle): Estimate {
  let leastMs = 0;
  const least = new WeakMap<PromisedWait, number>();
  return {
    ...estimate,
    leastWaitMs: (number) => (leastMs = estimate.leastWaitMs(number)),
    wait(place) {
      const promised = estimate.wait(place);
      // Asked for the same ticket just before, with nothing in between.
      if (promised !== null) least.set(promised, leastMs);
      return promised;
    },
    served(promised, waitedMs) {
      estimate.served(promised, waitedMs);
      oracle.waited({ ...promised, leastMs: least.get(promised) ?? 0, waitedMs });
    },
  };
}

function jobOf(work: Work, arrivedMs: number): Job {
  const { id, says = id, model, team, key, weight = 1, bytes, stream, priority, patienceMs, pieces } = work;
  const sampling = {
    temperature: null,
    topK: null,
    topP: null,
    minP: null,
    repeatPenalty: null,
    repeatLastN: null,
    presencePenalty: null,
    frequencyPenalty: null,
    seed: null,
  };
  const prompt = { kind: 'chat' as const, messages: [{ role: 'user' as const, content: says }], tools: [] };
  return {
    id,
    dialect: openai,
    path: '/v1/chat/completions',
    milestones: milestonesOf(team, model, { prompt }),
    generation: {
      dialect: 'openai',
      endpoint: 'chat',
      model,
      prompt,
      stream,
      includeUsage: false,
      sampling,
      maxTokens: pieces * 20,
      stop: [],
      format: { kind: 'text' },
      keepAliveMs: null,
      contextTokens: null,
    },
    model,
    body: Buffer.alloc(bytes),
    owner: { team, key, weight },
    priority,
    arrivedMs,
    retry: false,
    patienceMs,
  };
}
