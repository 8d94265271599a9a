// OpenMetrics → the older text format, for scrapers that do not ask for the new one. Pure.

/** At the end of a line; a label's value cannot look like it, because its quotes are escaped. */
const exemplar = / # \{(?:[a-z_]+="[^"\\{}]*",?)*\} \S+ \S+$/gm;

/** Exemplars and the final mark go, and a counter's name has its `_total` in the lines about it too. */
export function asPlainText(openMetrics: string): string {
  const counters = new Set([...openMetrics.matchAll(/^# TYPE (\S+) counter$/gm)].map(([, name]) => name));
  return openMetrics
    .replace(/^# EOF\n/m, '')
    .replace(/^# (HELP|TYPE) (\S+) /gm, (line, word: string, name: string) =>
      counters.has(name) ? `# ${word} ${name}_total ` : line,
    )
    .replace(exemplar, '');
}
