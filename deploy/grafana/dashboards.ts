// The dashboards; `npm run docs` writes them as Grafana reads them, a test compares.
import { writeFileSync } from 'node:fs';
import { bottleneck } from './bottleneck.ts';
import { grafanaJson } from './panels.ts';
import type { Dashboard } from './panels.ts';
import { teams } from './teams.ts';
import { workers } from './workers.ts';

export const dashboards: readonly Dashboard[] = [bottleneck, workers, teams];

export function dashboardText(dashboard: Dashboard): string {
  return `${JSON.stringify(grafanaJson(dashboard), null, 2)}\n`;
}

if (import.meta.main) {
  for (const each of dashboards) {
    writeFileSync(new URL(`./dashboards/${each.uid}.json`, import.meta.url), dashboardText(each));
  }
}
