// The documents that are made from the code are compared with it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { withSettingsTable } from '../deploy/settings-table.ts';

test("the README's settings table is the one that the declarations make (npm run docs)", () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
  expect(readme).toBe(withSettingsTable(readme));
});
