// What is shipped for Prometheus and Grafana, in a real Prometheus that watches a running Berth.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { gatewayFamilies } from '../../gateway/metric-families.ts';
import { programs, promtool } from '../tools/prometheus.ts';
import { eventually } from '../e2e/eventually.ts';
import { busy, demoWorker, echoWorker, observed, ranksFirst } from './observed.ts';
import type { Observed } from './observed.ts';
import { prometheusFolder, rulesIn, rulesText, shippedPanels, shownQueries, watched } from './shipped.ts';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const stack = new AsyncDisposableStack();
let pool: Observed;

beforeAll(() => programs(), 300_000);
beforeAll(async () => {
  const echo = stack.use(await echoWorker(['m']));
  const one = { ...echo.env, WORKER_ID: 'echo', NUM_PARALLEL: '2' };
  const other = { ...demoWorker, WORKER_ID: 'demo', NUM_PARALLEL: '2', CONTEXT_LENGTH: '512' };
  pool = stack.use(await observed(inject('redisUrl'), [one, other]));
}, 90_000);
afterAll(() => stack.disposeAsync());

/** Both models, two answers of several tokens at a time. */
const bothModels = () =>
  busy(2, (turn) =>
    turn % 2 === 0
      ? pool.ask('m', `[[prefillDelayMs=5 tokenDelayMs=5]] some words that come back, number ${turn}`)
      : pool.ask('berth-demo', `What is a slot? ${turn % 7}`, { max_tokens: 8 }),
  );

describe('a Prometheus with the shipped configuration', () => {
  it('has data for every query of every panel and rule, those of GPUs from a program that plays nvidia-smi', async () => {
    await using _load = bothModels();
    const { records, alerts } = rulesIn(await pool.prometheus.get('/api/v1/rules'));
    expect([records.length, alerts.length]).toEqual([9, 20]);
    const queries = [
      ...shownQueries().map(({ dashboard, panel, expr }) => ({ name: `${dashboard}: ${panel}`, expr })),
      ...records.flatMap(({ name, expr }) => [
        { name, expr },
        { name: `${name} as recorded`, expr: name },
      ]),
      ...alerts.map(({ name, expr }) => ({ name, expr: watched(expr) })),
    ];
    let without = queries;
    const look = async () => {
      const found = await Promise.all(without.map(({ expr }) => pool.prometheus.query(expr)));
      without = without.filter((_, at) => !found[at]?.some(({ value }) => Number.isFinite(value)));
      return without.length === 0;
    };
    await eventually('every query has data', look, { withinMs: 25_000, lookEveryMs: 300 }).catch(() => {});
    expect(without).toEqual([]);
  });

  it.each([
    ['the gateway', '/metrics'],
    ['a worker', '/metrics/workers/demo'],
  ])('finds nothing to remark on the metrics of %s, but for those of the runtime', async (_, path) => {
    const text = await pool.metrics(path);
    const own = text.split('\n').filter((line) => !/berth_(gateway|worker)_(nodejs|process)_/.test(line));
    await promtool(['check', 'metrics'], prometheusFolder, `${own.join('\n')}\n`);
  });

  it('reads every metric that a gateway declares under its own name, and fires no alert while all is well', async () => {
    const names = (await pool.prometheus.get('/api/v1/label/__name__/values')) as { data: string[] };
    // Only after a failure or a hand-off.
    const later = [
      'berth_ledger_failures_total',
      'berth_handoffs_total',
      'berth_handoff_seconds_bucket',
      'berth_queue_depth',
    ];
    const missing = Object.values(gatewayFamilies)
      .map(({ kind, name }) => (kind === 'histogram' ? `${name}_bucket` : name))
      .filter((name) => !names.data.includes(name) && !later.includes(name));
    expect(missing).toEqual([]);
    const firing = await pool.prometheus.query('ALERTS{alertstate="firing"}');
    expect(firing.map(({ metric }) => metric['alertname'])).toEqual([]);
  });
});

describe('the ranking of causes', () => {
  it('names the queue when there are more requests than slots', { timeout: 50_000 }, async () => {
    await using _load = busy(12, () => pool.ask('m', '[[tokenDelayMs=30]] one two three four'));
    await ranksFirst(pool.prometheus, 'queue');
  });

  it('names the ledger when Redis answers late', { timeout: 50_000 }, async () => {
    pool.redis.delayReplies(60);
    await using _load = busy(2, () => pool.ask('m', '[[tokenDelayMs=2]] one two three four'));
    await ranksFirst(pool.prometheus, 'ledger');
    pool.redis.delayReplies(0);
  });
});

describe('the rules', () => {
  it('pass their unit tests', async () => {
    await promtool(['check', 'rules', 'rules.yml'], prometheusFolder);
    await promtool(['test', 'rules', 'rules.test.yml'], prometheusFolder);
  });

  it('have a unit test and a paragraph in the runbooks for each alert', () => {
    const alerts = [...rulesText().matchAll(/- alert: (\w+)/g)].map(([, name]) => name ?? '');
    const tests = readFileSync(join(prometheusFolder, 'rules.test.yml'), 'utf8');
    const runbooks = readFileSync(join(prometheusFolder, '../../docs/runbooks.md'), 'utf8');
    expect(alerts.filter((name) => !tests.includes(`alertname: ${name}\n        exp_alerts:`))).toEqual([]);
    const paragraph = (name: string) => new RegExp(`^## ${name}\n\n\\S.{80,}`, 'm');
    expect(alerts.filter((name) => !paragraph(name).test(runbooks))).toEqual([]);
    expect(alerts.filter((name) => !rulesText().includes(`docs/runbooks.md#${name.toLowerCase()}\n`))).toEqual([]);
  });
});

describe('the dashboards', () => {
  it('have a title for each plot, and a question above it and in its description', () => {
    for (const { dashboard, panels } of shippedPanels()) {
      panels.forEach((panel, at) => {
        if (panel.type === 'text') return;
        const where = `${dashboard}: ${panel.title}`;
        expect(panel.title, where).not.toBe('');
        expect(panel.description, where).toContain('?');
        const above = panels[at - 1];
        expect([above?.type, above?.options?.content], where).toEqual([
          'text',
          expect.stringContaining(panel.description ?? ''),
        ]);
      });
    }
  });
});
