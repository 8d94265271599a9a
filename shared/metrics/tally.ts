// One combination of a histogram's labels: how many values fell into each bucket, and whose was the last of each.

interface Exemplar {
  labelSet: Readonly<Record<string, string>>;
  value: number;
  /** Seconds since the Unix epoch. */
  timestamp: number;
}

export interface Tally {
  add(value: number, ids: Readonly<Record<string, string>> | undefined): void;
  /** As prom-client writes them: buckets that include the lower ones, then sum and count. */
  values(name: string): TallyValue[];
}

interface TallyValue {
  labels: Record<string, string | number>;
  value: number;
  metricName: string;
  exemplar?: Exemplar;
}

/** @param now milliseconds since the Unix epoch, for exemplars */
export function createTally(
  labels: Readonly<Record<string, string>>,
  bounds: readonly number[],
  now: () => number,
): Tally {
  const counts = Array.from({ length: bounds.length + 1 }, () => 0);
  const exemplars: (Exemplar | undefined)[] = [];
  let sum = 0;
  return {
    add(value, ids) {
      let at = 0;
      while (at < bounds.length && value > (bounds[at] ?? Infinity)) at += 1;
      counts[at] = (counts[at] ?? 0) + 1;
      sum += value;
      if (ids !== undefined) exemplars[at] = { labelSet: ids, value, timestamp: now() / 1_000 };
    },
    values(name) {
      let count = 0;
      const buckets = counts.map((here, at): TallyValue => {
        count += here;
        const exemplar = exemplars[at];
        const le = bounds[at] ?? '+Inf';
        return { labels: { ...labels, le }, value: count, metricName: `${name}_bucket`, ...(exemplar && { exemplar }) };
      });
      return [
        ...buckets,
        { labels: { ...labels }, value: sum, metricName: `${name}_sum` },
        { labels: { ...labels }, value: count, metricName: `${name}_count` },
      ];
    },
  };
}
