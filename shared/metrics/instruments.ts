// Makes a process's instruments from its declarations, and writes a scrape. The only place that knows prom-client.
import * as prom from 'prom-client';
import { createAdmission } from './admission.ts';
import type { Labels } from './admission.ts';
import type { Counter, Family, Gauge, Histogram } from './families.ts';
import { createTally } from './tally.ts';
import { asPlainText } from './plain-text.ts';

export type Sample<L extends string> = readonly [labels: Labels<L>, value: number];

type OpenRegistry = prom.Registry<prom.OpenMetricsContentType>;

interface Counting<L extends string> {
  add(labels: Labels<L>, value?: number): void;
  /** Takes totals that are counted elsewhere. */
  replace(samples: readonly Sample<L>[]): void;
}

interface Gauging<L extends string> {
  /** These and no others; samples whose labels had to be given up are summed. */
  replace(samples: readonly Sample<L>[]): void;
}

interface Observing<L extends string> {
  /** @param exemplar ids of the request, kept by the bucket that it falls into */
  observe(labels: Labels<L>, value: number, exemplar?: Readonly<Record<string, string>>): void;
}

type Instrument<F> =
  F extends Counter<infer L>
    ? Counting<L>
    : F extends Gauge<infer L>
      ? Gauging<L>
      : F extends Histogram<infer L>
        ? Observing<L>
        : never;

export type Instruments<F> = { readonly [K in keyof F]: Instrument<F[K]> };

export interface Scrape {
  contentType: string;
  text: string;
}

export interface Instrumented<F> {
  readonly instruments: Instruments<F>;
  /** @param accept the scraper's `Accept`: OpenMetrics, with exemplars, for those that ask for it; else plain text */
  scrape(accept: string | undefined): Promise<Scrape>;
}

interface Outside {
  /** Names begin with it that the runtime (processor, memory, event loop) tells of itself. */
  runtimePrefix: string;
  /** Milliseconds since the Unix epoch. */
  now: () => number;
  /** Called when a label was given up because there are too many. */
  onFold: () => void;
}

export function createInstruments<F extends Readonly<Record<string, Family>>>(
  families: F,
  outside: Outside,
): Instrumented<F> {
  // One registry of one format: prom-client strips the counters' `_total` for good when it writes the other.
  const registry: OpenRegistry = new prom.Registry<prom.OpenMetricsContentType>();
  registry.setContentType(prom.openMetricsContentType);
  prom.collectDefaultMetrics({ register: registry, prefix: outside.runtimePrefix });
  const made = Object.entries(families).map(([key, family]) => [key, instrumentOf(family, registry, outside)]);
  return {
    instruments: Object.fromEntries(made) as Instruments<F>,
    async scrape(accept) {
      const text = await registry.metrics();
      if (accept?.includes('application/openmetrics-text')) return { contentType: registry.contentType, text };
      return { contentType: prom.prometheusContentType, text: asPlainText(text) };
    },
  };
}

function instrumentOf(family: Family, registry: OpenRegistry, outside: Outside) {
  const { name, help, labels } = family;
  const common = { name, help, labelNames: Object.keys(labels), registers: [registry] };
  return family.kind === 'histogram' ? observing(family, common, outside) : counting(family, common, outside);
}

type Common = prom.MetricConfiguration<string>;

/** Counted here and given to prom-client at a scrape: its own way costs about ten times as much (measured). */
function counting(family: Family, common: Common, { onFold }: Outside): Counting<string> {
  const cells = createAdmission(family, (labels) => ({ labels, value: 0 }), onFold);
  const config = {
    ...common,
    collect(this: prom.Counter | prom.Gauge) {
      this.reset();
      for (const { labels, value } of cells.all()) this.inc(labels, value);
    },
  };
  void (family.kind === 'counter' ? new prom.Counter(config) : new prom.Gauge(config));
  const add = (labels: Labels, value = 1) => void (cells.cell(labels).value += value);
  return {
    add,
    replace(samples) {
      cells.clear();
      for (const [labels, value] of samples) add(labels, value);
    },
  };
}

/** For the same reason; prom-client writes it, and asks for its values here. */
function observing(family: Family, common: Common, { onFold, now }: Outside): Observing<string> {
  const cells = createAdmission(family, (labels) => createTally(labels, family.buckets, now), onFold);
  const it = new prom.Histogram({ ...common, buckets: [...family.buckets] });
  const { name, help, aggregator } = it as prom.Histogram & { name: string; help: string; aggregator: string };
  const values = () => [...cells.all()].flatMap((tally) => tally.values(name));
  const get = async () => ({ name, help, type: 'histogram', aggregator, values: values() });
  Object.assign(it, { get, getForPromString: get });
  return { observe: (labels, value, ids) => cells.cell(labels).add(value, family.exemplars ? ids : undefined) };
}
