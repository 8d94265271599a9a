// What is shipped for Prometheus and Grafana, with its times cut from minutes to seconds so that a test need not wait.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export const prometheusFolder = join(import.meta.dirname, '../../deploy/prometheus');
const dashboardsFolder = join(import.meta.dirname, '../../deploy/grafana/dashboards');

/** Windows of rates: long enough for several scrapes. */
const windowS = 4;
const read = (file: string) => readFileSync(join(prometheusFolder, file), 'utf8');

export const rulesText = (): string => read('rules.yml');
const shorten = (text: string) => text.replace(/\[\d+[mh]\]/g, `[${windowS}s]`);

/** The shipped configuration, for a gateway at this address that takes this key. */
export function prometheusFiles(gateway: string, key: string): Record<string, string> {
  const config = read('prometheus.yml').replaceAll('127.0.0.1:8080', gateway).replaceAll('15s', '500ms');
  return { 'prometheus.yml': config, 'rules.yml': shorten(rulesText()), 'berth-key': key };
}

interface Rule {
  name: string;
  expr: string;
}

/** The rules as Prometheus has read them. */
export function rulesIn(answer: unknown): { records: Rule[]; alerts: Rule[] } {
  const { data } = answer as { data: { groups: { rules: { type: string; name: string; query: string }[] }[] } };
  const all = data.groups.flatMap(({ rules }) => rules);
  const of = (type: string) =>
    all.filter((rule) => rule.type === type).map(({ name, query }) => ({ name, expr: query }));
  return { records: of('recording'), alerts: of('alerting') };
}

/** An alert without its comparison: what it looks at has a value also while all is well. */
export function watched(alert: string): string {
  const [, left] = /^([\s\S]*) (?:<|>) [\d.]+$/.exec(alert) ?? [];
  if (left === undefined) throw new Error(`no comparison with a number stands at the end of ${alert}`);
  return left;
}

export interface ShownQuery {
  dashboard: string;
  panel: string;
  expr: string;
}

interface GrafanaPanel {
  type: string;
  title: string;
  description?: string;
  targets?: { expr: string }[];
  options?: { content?: string };
}

export function shippedPanels(): { dashboard: string; panels: GrafanaPanel[] }[] {
  return readdirSync(dashboardsFolder).map((file) => {
    const { title, panels } = JSON.parse(readFileSync(join(dashboardsFolder, file), 'utf8')) as {
      title: string;
      panels: GrafanaPanel[];
    };
    return { dashboard: title, panels };
  });
}

/** Every query of every panel, as Grafana would send it. */
export function shownQueries(): ShownQuery[] {
  return shippedPanels().flatMap(({ dashboard, panels }) =>
    panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => ({
        dashboard,
        panel: title,
        expr: shorten(expr).replaceAll('$__rate_interval', `${windowS}s`).replaceAll('$__range', '10s'),
      })),
    ),
  );
}
