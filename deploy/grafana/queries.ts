// Queries that several panels are made of. Pure.
import type { Query } from './panels.ts';

export const quantile = (q: number, metric: string, by: string): string =>
  `histogram_quantile(${q}, sum by (${by}, le) (rate(${metric}_bucket[$__rate_interval])))`;

export const quantiles = (metric: string, by: string, legend: string): Query[] => [
  { expr: quantile(0.5, metric, by), legend: `half, ${legend}` },
  { expr: quantile(0.95, metric, by), legend: `95 %, ${legend}` },
];
