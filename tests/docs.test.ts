// The documents that are made from the code are compared with it.
import { execFileSync } from 'node:child_process';
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

test('DECISIONS.md has a reason for each package of others, and for no other', () => {
  const root = join(import.meta.dirname, '..');
  const read = (path: string) => readFileSync(join(root, path), 'utf8');
  const git = execFileSync('git', ['ls-files', 'package.json', '*/package.json'], { cwd: root, encoding: 'utf8' });
  const asked = git
    .trim()
    .split('\n')
    .flatMap((path) => {
      const { dependencies, devDependencies } = JSON.parse(read(path)) as Record<string, Record<string, string>>;
      return Object.keys({ ...dependencies, ...devDependencies }).filter((name) => !name.startsWith('@berth/'));
    });
  const [, section = ''] = read('DECISIONS.md').split('## Packages of others\n');
  const rows = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| (`.*?) \| (.{10,}) \|$/gm)];
  const named = rows.flatMap(([, names = '']) => [...names.matchAll(/`(.+?)`/g)].map(([, name]) => String(name)));
  expect(named.toSorted()).toEqual([...new Set(asked)].toSorted());
});

test('docs/scale.md names metrics that there are', () => {
  const page = readFileSync(join(import.meta.dirname, '../docs/scale.md'), 'utf8');
  const names = [...page.matchAll(/berth_\w+/g)].map(([name]) => name);
  // Those of the runtime are prom-client's own.
  const own = names.filter((name) => !/^berth_(gateway|worker)_process_/.test(name));
  expect(own.filter((name) => !metricsPage().includes(`\`${name}\``))).toEqual([]);
});
