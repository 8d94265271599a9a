// The dashboard *where is the bottleneck*.
import type { Dashboard } from './panels.ts';
import { quantile, quantiles } from './queries.ts';

export const bottleneck: Dashboard = {
  uid: 'berth-bottleneck',
  title: 'Berth: where is the bottleneck',
  question: 'Users report slowness. What do their requests wait for, and which resource is full?',
  panels: [
    {
      title: 'Ranking of causes',
      question: '**What do requests wait for?** Requests in each cause at any moment; the first is the bottleneck.',
      kind: 'bargauge',
      unit: 'short',
      queries: [{ expr: 'sort_desc(berth:cause_seconds:rate5m)', legend: '{{cause}}' }],
    },
    {
      title: 'Ranking of resources',
      question: '**Which resource is full?** The fullest of its kind in the pool.',
      kind: 'bargauge',
      unit: 'percentunit',
      queries: [{ expr: 'sort_desc(berth:saturation:ratio)', legend: '{{resource}}' }],
    },
    {
      title: 'Causes over time',
      question: '**Since when?** The same ranking over time, stacked: its height is how many requests are inside.',
      kind: 'timeseries',
      unit: 'short',
      queries: [{ expr: 'berth:cause_seconds:rate5m', legend: '{{cause}}' }],
      width: 24,
    },
    {
      title: 'Time to first token',
      question: '**What do users feel first?** From arrival to the first byte.',
      kind: 'timeseries',
      unit: 's',
      queries: quantiles('berth_ttft_seconds', 'model', '{{model}}'),
    },
    {
      title: 'Time between tokens',
      question: '**How fluent is an answer?** Between two pieces, as they leave the workers.',
      kind: 'timeseries',
      unit: 's',
      queries: quantiles('berth_worker_inter_token_seconds', 'model', '{{model}}'),
    },
    {
      title: 'Queue',
      question: '**Who waits, and for which model?** Requests that have no slot, by class.',
      kind: 'timeseries',
      unit: 'short',
      queries: [
        { expr: 'max by (model, priority) (berth_queue_depth) or vector(0)', legend: '{{model}} {{priority}}' },
      ],
    },
    {
      title: 'Wait for a slot',
      question: '**How long do they wait?** From arrival to the slot, the load of a model that nobody served included.',
      kind: 'timeseries',
      unit: 's',
      queries: quantiles('berth_queue_wait_seconds', 'priority', '{{priority}}'),
    },
    {
      title: 'Slots',
      question: '**Is there room?** Slots of the pool, held and free.',
      kind: 'timeseries',
      unit: 'short',
      queries: [{ expr: 'max by (state) (sum by (instance, state) (berth_slots))', legend: '{{state}}' }],
    },
    {
      title: 'Loads and evictions',
      question: '**Do models push each other out?** Loads and unloads per minute, by reason.',
      kind: 'timeseries',
      unit: 'short',
      queries: [
        { expr: 'sum by (result) (60 * rate(berth_worker_loads_total[$__rate_interval]))', legend: '{{result}}' },
        {
          expr: 'sum by (reason) (60 * rate(berth_worker_unloads_total[$__rate_interval])) or vector(0)',
          legend: 'unloaded: {{reason}}',
        },
      ],
    },
    {
      title: 'Steps of the engines',
      question: '**Prefill or decode?** Time that the engines spend on reading prompts, decoding, or both in one step.',
      kind: 'timeseries',
      unit: 'percentunit',
      queries: [
        { expr: 'sum by (phase) (rate(berth_worker_engine_step_seconds_sum[$__rate_interval]))', legend: '{{phase}}' },
      ],
    },
    {
      title: 'Answers of Redis',
      question: '**Is Redis slow?** Time until the ledger answers, by operation.',
      kind: 'timeseries',
      unit: 's',
      queries: [{ expr: quantile(0.99, 'berth_ledger_call_seconds', 'operation'), legend: '99 %, {{operation}}' }],
    },
    {
      title: 'Seconds per token of each worker',
      question: '**Is one worker slow?** The same model should cost the same everywhere.',
      kind: 'timeseries',
      unit: 's',
      queries: [{ expr: 'berth:decode_seconds_per_token:rate5m', legend: '{{worker}} {{model}}' }],
    },
    {
      title: 'Errors',
      question: '**Do requests fail?** Endings other than success per second.',
      kind: 'timeseries',
      unit: 'reqps',
      queries: [
        {
          expr: 'sum by (outcome) (rate(berth_requests_total{outcome!="ok"}[$__rate_interval])) or vector(0)',
          legend: '{{outcome}}',
        },
        { expr: 'sum(rate(berth_retries_total[$__rate_interval]))', legend: 'tries again' },
        { expr: 'sum(rate(berth_busy_total[$__rate_interval]))', legend: 'came back: busy' },
      ],
    },
  ],
};
