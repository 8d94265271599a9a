// The dashboard *workers, GPUs and models*.
import type { Dashboard } from './panels.ts';
import { quantiles } from './queries.ts';

export const workers: Dashboard = {
  uid: 'berth-workers',
  title: 'Berth: workers, GPUs and models',
  question: 'Who is there, what is loaded where, and how hard does each work?',
  panels: [
    {
      title: 'Workers',
      question: '**Who takes requests?**',
      kind: 'stat',
      unit: 'short',
      queries: [{ expr: 'max by (state) (berth_workers)', legend: '{{state}}' }],
      width: 8,
    },
    {
      title: 'Gateways',
      question: '**How many gateways share the pool?**',
      kind: 'stat',
      unit: 'short',
      queries: [{ expr: 'max(berth_gateways)', legend: 'gateways' }],
      width: 8,
    },
    {
      title: 'Ledger',
      question: '**Does Redis answer everyone?** 1 is yes.',
      kind: 'stat',
      unit: 'short',
      queries: [
        { expr: 'min(berth_ledger_up)', legend: 'gateways' },
        { expr: 'min(berth_worker_ledger_up)', legend: 'workers' },
      ],
      width: 8,
    },
    {
      title: 'Slots in use',
      question: '**Who works?** Held slots of each worker.',
      kind: 'timeseries',
      unit: 'short',
      queries: [{ expr: 'max by (worker) (berth_slots{state="held"})', legend: '{{worker}}' }],
    },
    {
      title: 'Copies of each model',
      question: '**What is loaded?** Workers that have the model loaded.',
      kind: 'timeseries',
      unit: 'short',
      queries: [{ expr: 'max by (model) (berth_model_copies)', legend: '{{model}}' }],
    },
    {
      title: 'What each model runs',
      question: '**Which model is in demand?** Requests that use it now.',
      kind: 'timeseries',
      unit: 'short',
      queries: [{ expr: 'sum by (model) (berth_worker_running)', legend: '{{model}}' }],
    },
    {
      title: 'Time to load',
      question: '**What does a swap cost?**',
      kind: 'timeseries',
      unit: 's',
      queries: [
        {
          expr: 'sum by (model) (berth_worker_load_seconds_sum) / sum by (model) (berth_worker_load_seconds_count)',
          legend: 'mean, {{model}}',
        },
      ],
    },
    {
      title: 'Tokens through the engines',
      question: '**How much is read and written?** Tokens per second, without cached ones.',
      kind: 'timeseries',
      unit: 'short',
      queries: [
        {
          expr: 'sum by (model, phase) (rate(berth_worker_engine_tokens_total[$__rate_interval]))',
          legend: '{{model}} {{phase}}',
        },
      ],
    },
    {
      title: 'Size of a batch',
      question: '**Do slots share steps?** Tokens in one step of an engine.',
      kind: 'timeseries',
      unit: 'short',
      queries: quantiles('berth_worker_engine_batch_tokens', 'model', '{{model}}'),
    },
    {
      title: 'Time of a step',
      question: '**What does a step cost?** The gap that every running answer feels.',
      kind: 'timeseries',
      unit: 's',
      queries: quantiles('berth_worker_engine_step_seconds', 'model, phase', '{{model}} {{phase}}'),
    },
    {
      title: 'Prefix reuse',
      question: '**Do conversations find their cache?** Share of the prompt tokens that were not read again.',
      kind: 'timeseries',
      unit: 'percentunit',
      queries: [{ expr: 'berth:prefix_hit:ratio_rate5m', legend: '{{model}}' }],
    },
    {
      title: 'Why this worker',
      question: '**How are workers chosen?** Slots per second by reason.',
      kind: 'timeseries',
      unit: 'short',
      queries: [{ expr: 'sum by (reason) (rate(berth_placements_total[$__rate_interval]))', legend: '{{reason}}' }],
    },
    {
      title: 'Processors',
      question: '**Is the processor the limit?** Share of each machine, and processors of the engines.',
      kind: 'timeseries',
      unit: 'percentunit',
      queries: [
        {
          expr: 'rate(berth_worker_host_cpu_busy_seconds_total[$__rate_interval]) / berth_worker_host_cpus',
          legend: 'machine of {{instance}}',
        },
        {
          expr: 'sum by (instance, model) (rate(berth_worker_engine_cpu_seconds_total[$__rate_interval]))',
          legend: 'engine of {{model}} on {{instance}}',
        },
      ],
    },
    {
      title: 'Memory',
      question: '**Is memory the limit?** Of each machine, and of the engines.',
      kind: 'timeseries',
      unit: 'bytes',
      queries: [
        { expr: 'berth_worker_host_memory_available_bytes', legend: 'free on {{instance}}' },
        { expr: 'berth_worker_engine_resident_bytes', legend: '{{model}} on {{instance}}' },
      ],
    },
    {
      title: 'GPU memory',
      question: '**Is the memory of the GPU the limit?**',
      kind: 'timeseries',
      unit: 'bytes',
      queries: [
        { expr: 'berth_worker_gpu_memory_used_bytes', legend: 'used, {{instance}} {{gpu}}' },
        { expr: 'berth_worker_gpu_memory_bytes', legend: 'of, {{instance}} {{gpu}}' },
      ],
      only: 'gpu',
    },
    {
      title: 'GPU work',
      question: '**Does the GPU work all the time?**',
      kind: 'timeseries',
      unit: 'percentunit',
      queries: [{ expr: 'berth_worker_gpu_utilization_ratio', legend: '{{instance}} {{gpu}}' }],
      only: 'gpu',
    },
    {
      title: 'GPU power',
      question: '**Is it held back by its power limit?**',
      kind: 'timeseries',
      unit: 'watt',
      queries: [
        { expr: 'berth_worker_gpu_power_watts', legend: '{{instance}} {{gpu}}' },
        { expr: 'berth_worker_gpu_power_limit_watts', legend: 'limit, {{instance}} {{gpu}}' },
      ],
      only: 'gpu',
    },
    {
      title: 'GPU temperature',
      question: '**Is it held back by heat?**',
      kind: 'timeseries',
      unit: 'celsius',
      queries: [{ expr: 'berth_worker_gpu_temperature_celsius', legend: '{{instance}} {{gpu}}' }],
      only: 'gpu',
    },
    {
      title: 'Event loops',
      question: '**Is a process of Berth itself the limit?** Share of one processor.',
      kind: 'timeseries',
      unit: 'percentunit',
      queries: [
        { expr: 'rate(berth_gateway_event_loop_busy_seconds_total[$__rate_interval])', legend: 'gateway {{instance}}' },
        { expr: 'rate(berth_worker_event_loop_busy_seconds_total[$__rate_interval])', legend: 'worker {{instance}}' },
        { expr: 'berth_gateway_nodejs_eventloop_lag_p99_seconds', legend: 'lag (s), gateway {{instance}}' },
      ],
    },
    {
      title: 'Requests that kill engines',
      question: '**Does one request end engines?** Suspects, and what became of them, in the last hour.',
      kind: 'timeseries',
      unit: 'short',
      queries: [{ expr: 'sum by (event) (increase(berth_poison_total[1h]))', legend: '{{event}}' }],
    },
    {
      title: 'Ledger and workers',
      question: '**Does the account of slots hold?** Corrections per minute by what ended a lease or ticket.',
      kind: 'timeseries',
      unit: 'short',
      queries: [
        {
          expr: 'max by (event) (60 * rate(berth_ledger_events_total[$__rate_interval]))',
          legend: '{{event}}',
        },
      ],
    },
  ],
};
