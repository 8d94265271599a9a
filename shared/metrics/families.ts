// How a process declares its metrics: once, with what they mean and how many series they may ever have.

/** How many values a label can take: a closed list's length, or `open` for names that operators give. */
export type LabelSize = number | 'open';

export interface Family<L extends string = string> {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly name: string;
  /** One sentence: what is counted, in which unit, from when to when. */
  readonly help: string;
  /** The label that is given up first stands last: its values become `other` when there are too many. */
  readonly labels: Readonly<Record<L, LabelSize>>;
  /** Most combinations of label values. */
  readonly combosMax: number;
  /** Upper bounds of a histogram's buckets. */
  readonly buckets: readonly number[];
  /** Its buckets remember a request's id. */
  readonly exemplars: boolean;
  /** Where it has no samples, for the documents and the tests of dashboards. */
  readonly only: Where | null;
}

/** `gpu`: where `nvidia-smi` answers. `engine`: where a model runs in an engine process, on Linux. */
export type Where = 'gpu' | 'engine';

interface More<L extends string> {
  labels?: Record<L, LabelSize>;
  combosMax?: number;
  only?: Where;
}

interface MoreOfHistogram<L extends string> extends More<L> {
  exemplars?: boolean;
}

export type Counter<L extends string> = Family<L> & { readonly kind: 'counter' };
export type Gauge<L extends string> = Family<L> & { readonly kind: 'gauge' };
export type Histogram<L extends string> = Family<L> & { readonly kind: 'histogram' };

export function counter<L extends string = never>(name: string, help: string, more: More<L> = {}): Counter<L> {
  return { kind: 'counter', ...familyOf(name, help, more) };
}

export function gauge<L extends string = never>(name: string, help: string, more: More<L> = {}): Gauge<L> {
  return { kind: 'gauge', ...familyOf(name, help, more) };
}

export function histogram<L extends string = never>(
  name: string,
  help: string,
  buckets: readonly number[],
  more: MoreOfHistogram<L> = {},
): Histogram<L> {
  return { kind: 'histogram', ...familyOf(name, help, more), buckets, exemplars: more.exemplars ?? false };
}

function familyOf<L extends string>(name: string, help: string, more: More<L>): Omit<Family<L>, 'kind'> {
  const labels = more.labels ?? ({} as Record<L, LabelSize>);
  const closed = closedCombos(labels);
  const { combosMax = closed, only = null } = more;
  const isOpen = Object.values(labels).includes('open');
  if (isOpen && combosMax <= closed) throw new Error(`${name} needs room for more than ${closed} combinations`);
  return { name, help, labels, combosMax, buckets: [], exemplars: false, only };
}

/** Combinations that remain when every open label is `other`. */
export function closedCombos(labels: Readonly<Record<string, LabelSize>>): number {
  return Object.values(labels).reduce<number>((product, size) => (size === 'open' ? product : product * size), 1);
}

/** Most series of a family: a histogram has one per bucket, the endless one included, and its sum and count. */
export function seriesMax({ kind, combosMax, buckets }: Family): number {
  return combosMax * (kind === 'histogram' ? buckets.length + 3 : 1);
}

/**
 * Series of one process: a Prometheus that watches a hundred of them still fits into a small machine. What the runtime
 * tells of itself takes its share; a test looks at how many that are.
 */
export const processSeriesMax = 2_000;
export const runtimeSeriesMax = 160;
