// The tables of docs/api.md name every field that the parsers read.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const folder = join(root, 'shared/dialects');
const docs = readFileSync(join(root, 'docs/api.md'), 'utf8');
const named = new Set([...docs.matchAll(/`([^`\n]+)`/g)].flatMap(([, code = '']) => code.match(/\w+/g) ?? []));

test.each(readdirSync(folder).filter((file) => file.endsWith('.ts')))('the fields that %s reads', (file) => {
  const source = readFileSync(join(folder, file), 'utf8');
  const fields = [...source.matchAll(/\b(?:optional|required)\(\s*'(\w+)'/g)].map(([, field]) => field);
  expect(fields.filter((field) => field !== undefined && !named.has(field))).toEqual([]);
});
