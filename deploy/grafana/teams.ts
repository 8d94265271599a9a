// The dashboard *team usage*.
import type { Dashboard } from './panels.ts';
import { quantile } from './queries.ts';

export const teams: Dashboard = {
  uid: 'berth-teams',
  title: 'Berth: team usage',
  question: 'Who uses the pool, how much, and how well are they served?',
  panels: [
    {
      title: 'Slot time of each team',
      question: '**Who uses the pool?** Slots in use by team, on average.',
      kind: 'timeseries',
      unit: 'short',
      queries: [{ expr: 'sum by (team) (rate(berth_key_slot_seconds_total[$__rate_interval]))', legend: '{{team}}' }],
    },
    {
      title: 'Requests of each team',
      question: '**Who asks most?** Requests per second.',
      kind: 'timeseries',
      unit: 'reqps',
      queries: [
        { expr: 'sum by (team) (rate(berth_requests_total{team!="none"}[$__rate_interval]))', legend: '{{team}}' },
      ],
    },
    {
      title: 'Tokens of each team',
      question: '**Who reads and writes most?** Tokens per second by kind.',
      kind: 'timeseries',
      unit: 'short',
      queries: [
        { expr: 'sum by (team, kind) (rate(berth_key_tokens_total[$__rate_interval]))', legend: '{{team}} {{kind}}' },
      ],
    },
    {
      title: 'Time to first token of each team',
      question: '**Is everybody served alike?** 95 of 100 requests begin within this time.',
      kind: 'timeseries',
      unit: 's',
      queries: [{ expr: quantile(0.95, 'berth_ttft_seconds', 'team'), legend: '{{team}}' }],
    },
    {
      title: 'Models of each team',
      question: '**What do they use?** Requests per second by team and model.',
      kind: 'timeseries',
      unit: 'reqps',
      queries: [
        {
          expr: 'sum by (team, model) (rate(berth_requests_total{team!="none"}[$__rate_interval]))',
          legend: '{{team}} {{model}}',
        },
      ],
    },
    {
      title: 'Endings of each team',
      question: '**Whose requests fail, and how?** Endings other than success per second.',
      kind: 'timeseries',
      unit: 'reqps',
      queries: [
        {
          expr: 'sum by (team, outcome) (rate(berth_requests_total{outcome!="ok"}[$__rate_interval])) or vector(0)',
          legend: '{{team}} {{outcome}}',
        },
      ],
    },
    {
      title: 'Keys in this time',
      question: '**Which keys do the work?** Slot time of each key in the shown time, in seconds.',
      kind: 'table',
      unit: 's',
      queries: [
        { expr: 'sort_desc(sum by (team, key) (increase(berth_key_slot_seconds_total[$__range])))', legend: '' },
      ],
      width: 24,
    },
  ],
};
