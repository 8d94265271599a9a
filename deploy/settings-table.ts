// The README's settings table, rendered from the declarations. `npm run docs` writes it, a test compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { gatewaySettings } from '../gateway/settings.ts';
import type { Setting } from '../shared/config.ts';
import { poolSettings } from '../shared/config.ts';
import { workerSettings } from '../worker/settings.ts';

const begin = '<!-- settings: made by `npm run docs` -->';
const end = '<!-- /settings -->';

function row({ name, aliases, about, fallback, fallbackAbout }: Setting<unknown>): string {
  const names = [name, ...aliases].map((name) => `\`${name}\``).join(', ');
  const value = fallback === null ? '' : `\`${fallback}\``;
  return `| ${names} | ${[value, fallbackAbout].filter(Boolean).join(': ')} | ${about} |`;
}

function table(title: string, settings: Record<string, Setting<unknown>>, shown: boolean): string {
  const rows = Object.entries(settings).filter(([key]) => shown || !Object.hasOwn(poolSettings, key));
  return [`**${title}**\n`, '| name | default | what |', '| --- | --- | --- |', ...rows.map(([, it]) => row(it))].join(
    '\n',
  );
}

/** The README with its settings table made anew. */
export function withSettingsTable(readme: string): string {
  const tables = [
    table('Gateway and worker', poolSettings, true),
    table('Gateway', gatewaySettings, false),
    table('Worker', workerSettings, false),
  ].join('\n\n');
  const [before = '', rest = ''] = readme.split(begin, 2);
  const [, after = ''] = rest.split(end, 2);
  return `${before}${begin}\n\n${tables}\n\n${end}${after}`;
}

if (import.meta.main) {
  const path = new URL('../README.md', import.meta.url);
  writeFileSync(path, withSettingsTable(readFileSync(path, 'utf8')));
}
