// The page docs/metrics.md, rendered from the declarations of gateway and worker. `npm run docs` writes it, a test compares.
import { writeFileSync } from 'node:fs';
import { gatewayFamilies } from '../gateway/metric-families.ts';
import { processSeriesMax, runtimeSeriesMax, seriesMax } from '../shared/metrics/families.ts';
import type { Family } from '../shared/metrics/families.ts';
import { workerFamilies } from '../worker/metric-families.ts';

const where = { gpu: 'Only where `nvidia-smi` answers.', engine: 'Only for models in an engine process, on Linux.' };

function row(family: Family): string {
  const { name, kind, labels, help, only, buckets, exemplars } = family;
  const names = Object.keys(labels).map((label) => `\`${label}\``);
  const more = [
    buckets.length > 0 ? `Buckets to ${buckets.join(', ')}.` : '',
    exemplars ? 'With the request ids of exemplars.' : '',
    only === null ? '' : where[only],
  ];
  const meaning = [help, ...more].filter(Boolean).join(' ');
  return `| \`${name}\` | ${kind} | ${names.join(', ')} | ${seriesMax(family)} | ${meaning} |`;
}

function section(title: string, families: Readonly<Record<string, Family>>): string {
  const rows = Object.values(families).map(row);
  const most = Object.values(families).reduce((sum, family) => sum + seriesMax(family), 0);
  return [
    `## ${title}`,
    '',
    `${rows.length} metrics, at most ${most} series, and up to ${runtimeSeriesMax} of the Node runtime.`,
    '',
    '| name | kind | labels | series at most | meaning |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

export function metricsPage(): string {
  return `<!-- made by \`npm run docs\` from gateway/metric-families.ts and worker/metric-families.ts -->

# Metrics

\`GET /metrics\` of a gateway wants a key with the scope \`metrics\`. A worker answers it on its own machine, and elsewhere through a gateway: \`GET /metrics/workers/NAME\`; \`GET /metrics/workers\` lists them all as Prometheus' HTTP discovery reads them ([deploy/prometheus](../deploy/prometheus)).

Scrapers that ask for OpenMetrics get exemplars with request ids; others get the plain text format. Histograms have classic buckets: prom-client 15 cannot make native ones.

No process has more than ${processSeriesMax} series, whatever clients send. Labels are closed lists, or names that operators gave (models, workers, teams, keys). When a metric has as many series as it may have, the label that stands last loses its value to \`other\`, then the one before it; sums stay true, and \`berth_labels_folded_total\` and \`berth_worker_labels_folded_total\` count how often that happened. A model that no worker has is never a label.

${section('Gateway', gatewayFamilies)}

${section('Worker', workerFamilies)}
`;
}

if (import.meta.main) writeFileSync(new URL('../docs/metrics.md', import.meta.url), metricsPage());
