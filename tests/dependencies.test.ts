// What others have written that runs here: each package is asked for by one exact version, install scripts are
// approved by name, and the gateway's whole tree is small. Their reasons are compared in docs.test.ts.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const git = execFileSync('git', ['ls-files', 'package.json', '*/package.json'], { cwd: root, encoding: 'utf8' });

interface Manifest {
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  allowScripts?: Record<string, boolean>;
}
const manifests = git.split('\n').filter((path) => path !== '');
const asked = manifests.flatMap((path) => {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(read(path)) as Manifest;
  const all = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies });
  return all.filter(([name]) => !name.startsWith('@berth/'));
});
interface Locked extends Manifest {
  hasInstallScript?: boolean;
  resolved?: string;
  integrity?: string;
  link?: boolean;
}
const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> };

test('each is asked for by one exact version, and the lock says what its bytes are', () => {
  expect(asked.filter(([, version]) => !/^(npm:[\w-]+@)?\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  const loose = Object.entries(packages).filter(([path, { link, integrity }]) => {
    return path.includes('node_modules/') && link !== true && !integrity?.startsWith('sha512-');
  });
  // Packages of other platforms that this registry does not have (`npm run lock`).
  expect(loose.map(([path]) => path).filter((path) => !path.includes('@node-llama-cpp/'))).toEqual([]);
});

test('each install script is approved or refused by name', () => {
  const { allowScripts = {} } = JSON.parse(read('package.json')) as Manifest;
  const scripts = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript);
  const names = scripts.map(([path]) => path.replace(/^.*node_modules\//, ''));
  expect(names.toSorted()).toEqual(Object.keys(allowScripts).toSorted());
});

/** Where Node would find a package from. */
function found(from: string, name: string): string | undefined {
  const at = from.split('/node_modules/');
  const folders = at.map((_, index) => at.slice(0, at.length - index).join('/node_modules/'));
  return [...folders, ''].map((folder) => join(folder, 'node_modules', name)).find((path) => packages[path]);
}

test('the gateway runs sixteen packages, those of its packages included', () => {
  const tree = new Set<string>();
  const add = (from: string): void => {
    for (const name of Object.keys(packages[from]?.dependencies ?? {})) {
      const path = found(from, name) ?? expect.fail(`the lock lacks ${name} of ${from}`);
      if (tree.has(path)) continue;
      tree.add(path);
      add(packages[path]?.link ? (packages[path]?.resolved ?? '') : path);
    }
  };
  add('gateway');
  expect([...tree].filter((path) => !path.includes('@berth/')).length).toBeLessThanOrEqual(16);
});

test('`npm run sbom` lists all that the workspaces ask for', { timeout: 60_000 }, () => {
  const text = execFileSync('npm', ['run', '--silent', 'sbom'], { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 });
  const { components } = JSON.parse(text) as { components: { name: string }[] };
  const listed = new Set(components.map(({ name }) => name));
  const wanted = ['gateway', 'worker', 'shared'].flatMap((part) => {
    const { dependencies = {} } = JSON.parse(read(`${part}/package.json`)) as Manifest;
    return Object.keys(dependencies).filter((name) => !name.startsWith('@berth/'));
  });
  expect(wanted.filter((name) => !listed.has(name))).toEqual([]);
});
