// The house rules that a machine can check: which package is known where, which way the arrows go, what no file says.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && !path.endsWith('package-lock.json'));
const sources = tracked.filter((path) => /\.(ts|mjs)$/.test(path));
const product = sources.filter((path) => /^(gateway|worker|shared|deploy|cli)\//.test(path));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const importsOf = (path: string) =>
  [...read(path).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, name]) => name ?? '');

/** Where each package may be imported; everything else goes through that place. */
const homes: Record<string, RegExp> = {
  undici: /^(gateway\/forward\.ts|worker\/ledger-http\.ts|worker\/upstream\/client\.ts|tests\/)/,
  ioredis: /^(shared\/redis(-client)?\.ts|tests\/)/,
  'prom-client': /^shared\/metrics\/instruments\.ts$/,
  'node-llama-cpp': /^(worker\/engine\/llama\/|tests\/)/,
  'http-proxy-3': /^(gateway\/passthrough\/proxy\.ts|tests\/bench\/)/,
};

describe('the arrows', () => {
  test.each(Object.entries(homes))('%s is known by one place', (name, home) => {
    const users = sources.filter((path) => importsOf(path).some((it) => it === name || it.startsWith(`${name}/`)));
    expect(users.filter((path) => !home.test(path))).toEqual([]);
  });

  test('shared imports neither gateway nor worker, and they do not import each other', () => {
    const wrong = product.flatMap((path) => {
      const [side = ''] = path.split('/');
      const targets = importsOf(path).map((name) =>
        name.startsWith('.') ? normalize(join(path, '..', name)) : name.replace(/^@berth\//, ''),
      );
      const forbidden = { gateway: /^worker\//, worker: /^gateway\//, shared: /^(gateway|worker)\// }[side];
      return forbidden && targets.some((target) => forbidden.test(target)) ? [path] : [];
    });
    expect(wrong).toEqual([]);
  });

  test('nothing imports a main but its launcher', () => {
    const importers = sources.filter((path) => importsOf(path).some((name) => name.endsWith('/main.ts')));
    expect(importers.filter((path) => !path.endsWith('start.mjs'))).toEqual([]);
  });

  test('the environment is read in main only', () => {
    const readers = product.filter((path) => read(path).includes('process.env'));
    expect(readers.filter((path) => !/(\/main\.ts|^deploy\/local\.ts|\/child\.ts|\/open\.ts)$/.test(path))).toEqual([]);
  });

  test('time and chance are arguments below main', () => {
    const direct = /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval)\b/;
    const allowed =
      /^(shared\/(clock|random|process)\.ts|deploy\/|worker\/engine\/llama\/|gateway\/main\.ts|worker\/main\.ts)/;
    const users = product.filter((path) => direct.test(read(path).replace(/\/\/.*|\/\*[\s\S]*?\*\//g, '')));
    expect(users.filter((path) => !allowed.test(path))).toEqual([]);
  });
});

describe('the files', () => {
  test('open with one line that says what lives there', () => {
    const silent = sources.filter((path) => !/^(#!.*\n)?\/\/ [A-Z`]/.test(read(path)));
    expect(silent).toEqual([]);
  });

  test('of the product have at most 300 lines', () => {
    expect(product.filter((path) => read(path).split('\n').length > 301)).toEqual([]);
  });

  test('are not named after nothing', () => {
    expect(tracked.filter((path) => /(^|\/)(utils?|helpers?|types|index|common|misc)\.ts$/.test(path))).toEqual([]);
  });

  test('name no path of a machine and leave no work behind', () => {
    // Brackets keep the marks from finding themselves here.
    const marks = /[/]ro[o]t[/]|[/]wor[k][/]|\bTO[D]O\b|\bFIX[M]E\b|\.onl[y]\(/;
    const text = tracked.filter((path) => /\.(ts|mjs|json|md|lua|py|yaml|yml)$|^\.ci\/run$/.test(path));
    expect(text.filter((path) => marks.test(read(path)))).toEqual([]);
  });
});

describe('the lock', () => {
  test('has an entry for every optional dependency, or npm ci would refuse it', () => {
    const { packages } = JSON.parse(read('package-lock.json')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>;
    };
    const names = new Set(Object.keys(packages).map((key) => key.replace(/^.*node_modules\//, '')));
    const wanted = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
      Object.keys(optionalDependencies),
    );
    expect(wanted.filter((name) => !names.has(name))).toEqual([]);
  });
});
