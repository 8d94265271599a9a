// Series stay bounded however many names there are, and the sums stay true.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Announcement } from '@berth/shared/announcement.ts';
import { systemClock } from '@berth/shared/clock.ts';
import { ledgerCounts } from '@berth/shared/ledger/ledger.ts';
import type { PriorityClass, Survey } from '@berth/shared/ledger/ledger.ts';
import { createAdmission } from '@berth/shared/metrics/admission.ts';
import { counter, processSeriesMax, runtimeSeriesMax, seriesMax } from '@berth/shared/metrics/families.ts';
import type { Family } from '@berth/shared/metrics/families.ts';
import type { Scrape } from '@berth/shared/metrics/instruments.ts';
import { asPlainText } from '@berth/shared/metrics/plain-text.ts';
import { refusals } from '@berth/shared/outcome.ts';
import type { Outcome } from '@berth/shared/outcome.ts';
import { gatewayFamilies } from '../../../gateway/metric-families.ts';
import { createMetrics as gatewayMetrics } from '../../../gateway/metrics.ts';
import type { Record as Kept } from '../../../gateway/settle.ts';
import { workerFamilies } from '../../../worker/metric-families.ts';
import { createMetrics as workerMetrics } from '../../../worker/metrics.ts';
import type { EngineStep } from '../../../worker/engine/engine.ts';
import { aCard } from '../../doubles/fake-worker.ts';
import { aJob } from '../../gateway/a-job.ts';

const names = 3_000;
const settlement = {
  finish: 'stop',
  promptTokens: 3,
  cachedTokens: 2,
  outputTokens: 1,
  ttftMs: 5,
  prefillMs: 2,
  decodeMs: 3,
  loadMs: 1,
} as const;

const samplesOf = ({ text }: Scrape) => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
const sumOf = (scraped: Scrape, name: string) =>
  samplesOf(scraped)
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);

/** Names that break what is not escaped, and that look like syntax. */
const hostile = (kind: string, at: number) => `${kind}${at}"} 1\nberth_ledger_up{x="\\" # {a="b"} 1 1`;

describe('the declarations', () => {
  it.each([
    ['gateway', gatewayFamilies],
    ['worker', workerFamilies],
  ])('of the %s have room for all of their series below the bound', (_, families) => {
    const most = Object.values(families).reduce((sum, family: Family) => sum + seriesMax(family), 0);
    expect(most + runtimeSeriesMax).toBeLessThanOrEqual(processSeriesMax);
  });

  it('are at least forty, with names and units as Prometheus wants them, and a sentence each', () => {
    const all: Family[] = [...Object.values(gatewayFamilies), ...Object.values(workerFamilies)];
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    expect(all.length).toBeGreaterThanOrEqual(40);
    const named = (kind: Family['kind']) =>
      kind === 'counter' ? /^berth_[a-z_]+_total$/ : /^berth_[a-z_]+(?<!_total)$/;
    expect(all.filter(({ kind, name }) => !named(kind).test(name)).map(({ name }) => name)).toEqual([]);
    const scaled = /_(ms|milliseconds|minutes|kb|mb|mib|percent)(_|$)/;
    expect(all.filter(({ name }) => scaled.test(name)).map(({ name }) => name)).toEqual([]);
    expect(
      all.filter(({ help }) => !/^[A-Z0-9].*\.$/.test(help) || help.includes('"')).map(({ name }) => name),
    ).toEqual([]);
  });
});

describe('a gateway', () => {
  const model = (at: number) => hostile('m', at);
  const workers = Array.from({ length: names }, (_, at): Announcement => {
    const models = [aCard({ name: model(at) })];
    return {
      protocol: 1,
      worker: hostile('w', at),
      epoch: 'e',
      url: 'http://w',
      slots: 4,
      loadedMax: 1,
      state: 'ready',
      device: 'cpu',
      models,
    };
  });
  const survey: Survey = {
    waiting: workers.map((_, at) => ({ model: model(at), priority: (at % 3) as PriorityClass, tickets: 1, age: 0 })),
    workers: workers.map(({ worker }) => ({ worker, held: 1, capacity: 4 })),
    leases: workers.map(({ worker }, at) => ({ worker, model: model(at), held: 1 })),
    counts: Object.fromEntries(ledgerCounts.map((name) => [name, 1])) as Survey['counts'],
  };
  const outcomes = [...Object.keys(refusals), 'ok', 'client_gone'] as Outcome[];

  function record(at: number): Kept {
    const owner = { team: hostile('t', at % 50), key: `${hostile('k', at)}/someone` };
    const nothing = () => {};
    return {
      request: `r${at}`,
      dialect: (['openai', 'ollama', 'anthropic'] as const)[at % 3] ?? 'openai',
      trace: null,
      job: aJob({ model: model(at), owner, priority: (at % 3) as PriorityClass }),
      worker: hostile('w', at),
      placement: (['prefix', 'preferred', 'warm', 'cold', 'handed'] as const)[at % 5] ?? 'warm',
      understoodMs: 1,
      seatedMs: 100,
      firstByteMs: 200,
      ledgerMs: 5,
      coldMs: 0,
      retries: 1,
      busies: 1,
      settlement,
      understood: nothing,
      asked: nothing,
      decisions: [],
      decided: nothing,
      cold: nothing,
      seated: nothing,
      firstByte: nothing,
      retried: nothing,
      busy: nothing,
      settled: nothing,
    };
  }

  it('has at most 2,000 series with thousands of models, workers, teams and keys, and counts everything', async () => {
    const metrics = gatewayMetrics({
      version: '0',
      clock: systemClock,
      door: { inside: 1, heldBytes: 2 },
      session: () => ({ up: true, waiting: 0, gateways: 1 }),
      degraded: () => false,
      survey: async () => survey,
      roster: { holders: () => workers, workers: () => workers },
    });
    for (let at = 0; at < names; at += 1) {
      metrics.request(record(at), outcomes[at % outcomes.length] ?? 'ok', 0, 1_000);
    }
    for (const operation of ['take', 'leave', 'session', 'survey', 'beat'] as const)
      metrics.ledgerCall(operation, false, 1);
    for (const result of ['taken', 'gone', 'recovered'] as const) metrics.handOff(result, 1);
    await metrics.scrape(undefined);
    const scraped = await metrics.scrape(undefined);
    expect(samplesOf(scraped).length).toBeLessThanOrEqual(processSeriesMax);
    expect(
      samplesOf(scraped).filter((line) => !/^berth_\w+(\{([a-z]+="([^"\\\n]|\\.)*",?)*\})? \S+$/.test(line)),
    ).toEqual([]);
    expect(sumOf(scraped, 'berth_requests_total')).toBe(names);
    expect(sumOf(scraped, 'berth_ttft_seconds_count')).toBe(names);
    expect(sumOf(scraped, 'berth_key_requests_total')).toBe(names);
    expect(sumOf(scraped, 'berth_tokens_total')).toBe(6 * names);
    expect(sumOf(scraped, 'berth_slots')).toBe(4 * names);
    expect(sumOf(scraped, 'berth_queue_depth')).toBe(names);
    expect(sumOf(scraped, 'berth_request_stage_seconds_total')).toBeCloseTo(names, 6);
    expect(sumOf(scraped, 'berth_labels_folded_total')).toBeGreaterThan(names);
    expect(scraped.text).not.toContain('someone');
    const runtime = samplesOf(scraped).filter((line) => /^berth_gateway_(process|nodejs)_/.test(line));
    expect(runtime.length).toBeLessThanOrEqual(runtimeSeriesMax);
    const exemplars = await metrics.scrape('application/openmetrics-text; version=1.0.0');
    expect(exemplars.contentType).toContain('application/openmetrics-text');
    expect(exemplars.text).toMatch(/^berth_ttft_seconds_bucket\{.*\} \d+ # \{request="r\d+"\} 0.2 [\d.]+$/m);
    expect(exemplars.text.endsWith('# EOF\n')).toBe(true);
  });
});

describe('a worker', () => {
  it('has at most 2,000 series with thousands of models, and counts everything', async () => {
    const metrics = workerMetrics({
      version: '0',
      clock: systemClock,
      worker: hostile('w', 1),
      device: hostile('d', 1),
      loadedMax: 3,
      gpus: async () => [],
    });
    let hear = (_step: EngineStep): void => {};
    const engine = { onStep: (listener: typeof hear) => void (hear = listener) } as never;
    for (let at = 0; at < names; at += 1) {
      const model = hostile('m', at);
      metrics.residency({ kind: 'loaded', model, loadMs: 1, engine });
      for (const decoded of [0, 1]) for (const prefilled of [0, 9]) hear({ ms: 1, decoded, prefilled });
      metrics.residency({ kind: 'load_failed', model });
      metrics.residency({ kind: 'withdrawn', model });
      for (const reason of ['idle', 'room', 'asked', 'changed', 'died', 'closing'] as const) {
        metrics.residency({ kind: 'unloaded', model, reason });
      }
      metrics.settled(model, settlement, `r${at}`);
      metrics.piece(model, 10, 2);
    }
    const slots = { capacity: () => 4, used: () => 1 } as never;
    const scraped = await metrics.scrape({ slots, embedSlots: slots, residency: { residents: () => [] } }, undefined);
    expect(samplesOf(scraped).length).toBeLessThanOrEqual(processSeriesMax);
    expect(sumOf(scraped, 'berth_worker_tokens_total')).toBe(6 * names);
    expect(sumOf(scraped, 'berth_worker_engine_step_seconds_count')).toBe(4 * names);
    expect(sumOf(scraped, 'berth_worker_unloads_total')).toBe(6 * names);
    expect(sumOf(scraped, 'berth_worker_inter_token_seconds_sum')).toBeCloseTo(0.005 * names, 6);
  });
});

describe('labels that are too many', () => {
  const family = counter('berth_x_total', 'X.', { labels: { kind: 2, team: 'open', key: 'open' }, combosMax: 12 });

  it('give up the last first, and keep what was there before', () => {
    let folds = 0;
    const { cell: admit } = createAdmission(
      family,
      (labels) => labels,
      () => (folds += 1),
    );
    const first = { kind: 'a', team: 't0', key: 'k0' };
    for (let at = 0; at < 5; at += 1) expect(admit({ ...first, key: `k${at}` }).key).toBe(`k${at}`);
    expect(admit({ ...first, key: 'k9' })).toEqual({ kind: 'a', team: 't0', key: 'other' });
    expect(admit(first)).toEqual(first);
    for (let at = 1; at < 5; at += 1) admit({ ...first, team: `t${at}` });
    expect(admit({ kind: 'b', team: 't9', key: 'k' })).toEqual({ kind: 'b', team: 'other', key: 'other' });
    expect(folds).toBe(6);
  });

  it('never make more combinations than declared, in whatever order they come', () => {
    const letters = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
    const labels = fc.record({ kind: fc.constantFrom('a', 'b'), team: letters, key: letters });
    fc.assert(
      fc.property(fc.array(labels, { maxLength: 200 }), (all) => {
        const { cell: admit } = createAdmission(
          family,
          (labels) => labels,
          () => {},
        );
        const seen = new Set(all.map((each) => JSON.stringify(admit(each))));
        expect(seen.size).toBeLessThanOrEqual(family.combosMax);
      }),
    );
  });
});

describe('the plain text', () => {
  it('is what OpenMetrics says, without exemplars and with whole names of counters', () => {
    const open = [
      '# HELP berth_x Things.',
      '# TYPE berth_x counter',
      'berth_x_total{a="1 # {b=\\"2\\"} 3 4"} 5',
      '# HELP berth_y_seconds Time.',
      '# TYPE berth_y_seconds histogram',
      'berth_y_seconds_bucket{le="1"} 1 # {request="ab"} 0.5 1700000000.5',
      '# EOF',
      '',
    ];
    expect(asPlainText(open.join('\n')).split('\n')).toEqual([
      '# HELP berth_x_total Things.',
      '# TYPE berth_x_total counter',
      'berth_x_total{a="1 # {b=\\"2\\"} 3 4"} 5',
      '# HELP berth_y_seconds Time.',
      '# TYPE berth_y_seconds histogram',
      'berth_y_seconds_bucket{le="1"} 1',
      '',
    ]);
  });
});
