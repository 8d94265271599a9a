// The documents that are made from the code are compared with it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { dashboardText, dashboards } from '../deploy/grafana/dashboards.ts';
import { metricsPage } from '../deploy/metrics-docs.ts';
import { withSettingsTable } from '../deploy/settings-table.ts';

test("the README's settings table is the one that the declarations make (npm run docs)", () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
  expect(readme).toBe(withSettingsTable(readme));
});

test('docs/metrics.md is the page that the declarations make (npm run docs)', () => {
  expect(readFileSync(join(import.meta.dirname, '../docs/metrics.md'), 'utf8')).toBe(metricsPage());
});

test.each(dashboards.map((each) => [each.uid, each]))(
  'the dashboard %s is the one that is declared (npm run docs)',
  (uid, each) => {
    const path = join(import.meta.dirname, `../deploy/grafana/dashboards/${uid}.json`);
    expect(readFileSync(path, 'utf8')).toBe(dashboardText(each));
  },
);
