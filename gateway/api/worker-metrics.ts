// Metrics of the workers, through the gateway: a scraper cannot sign calls, and workers may not be reachable for it.
import { signCall } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Answer, createAgent } from '../forward.ts';
import type { Exchange, Route } from '../http.ts';
import type { Roster } from '../workers/roster.ts';

interface Options {
  roster: Pick<Roster, 'worker' | 'workers'>;
  agent: ReturnType<typeof createAgent>;
  /** Signs the calls. */
  secret: string;
  clock: Clock;
}

/** Below the time that scrapers wait for an answer. */
const answerMs = 8_000;
const asNobody = { lease: '', epoch: '', model: '', owner: { team: '', key: '', gateway: '' } };

/**
 * `/metrics/workers` lists the workers as Prometheus' HTTP discovery reads them, under the name by which this gateway was
 * reached; `/metrics/workers/NAME` is the worker's own scrape.
 */
export function workerMetricsRoutes({ roster, agent, secret, clock }: Options): Route[] {
  /** A lane for embeddings is the same process. */
  const processes = () => [...Map.groupBy(roster.workers(), ({ url }) => url).values()].map(([first]) => first!);

  const targets = ({ request, reply }: Exchange) => {
    const here = request.headers.host ?? '';
    const list = processes().map(({ worker }) => ({
      targets: [here],
      labels: { __metrics_path__: `/metrics/workers/${encodeURIComponent(worker)}`, worker, instance: worker },
    }));
    reply.json(200, JSON.stringify(list));
  };
  const scrape = async ({ request, reply, rest }: Exchange) => {
    const worker = roster.worker(nameIn(rest));
    if (worker === undefined) throw new Refusal('route_not_found', `there is no worker ${nameIn(rest)}`);
    const late = new AbortController();
    using _timer = clock.after(answerMs, () => late.abort());
    const path = '/metrics';
    const call = signCall(secret, 'GET', path, asNobody, clock.now());
    const headers = { ...call, accept: request.headers.accept ?? '*/*' };
    const signal = AbortSignal.any([reply.signal, late.signal]);
    const asking = agent.request({ origin: worker.url, path, method: 'GET', headers, signal });
    const told = await asking.then(textOf).catch(() => null);
    reply.signal.throwIfAborted();
    if (told === null) throw new Refusal('worker_failed', `worker ${worker.worker} does not tell its metrics`);
    reply.json(200, told.text, { 'content-type': told.type });
  };
  const common = { method: 'GET', scope: 'metrics', dialect: openai } as const;
  return [
    { ...common, path: '/metrics/workers', handle: targets },
    { ...common, path: '/metrics/workers/*', handle: scrape },
  ];
}

async function textOf({ statusCode, headers, body }: Answer) {
  const text = await body.text();
  return statusCode === 200 ? { text, type: String(headers['content-type'] ?? 'text/plain') } : null;
}

function nameIn(rest: string): string {
  try {
    return decodeURIComponent(rest);
  } catch {
    return rest;
  }
}
