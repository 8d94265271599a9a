// Completes package-lock.json with the optional platform packages that the registry at hand did not list.
// Without an entry for each of them `npm ci` refuses the lock ("Missing … from lock file"). See CONTRIBUTING.md.
import { readFileSync, writeFileSync } from 'node:fs';

interface Locked {
  version?: string;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  optionalDependencies?: Record<string, string>;
}

const path = new URL('../../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(path, 'utf8')) as { packages: Record<string, Locked> };

const osOf: Record<string, string> = { linux: 'linux', mac: 'darwin', win: 'win32' };

/** Platform of an engine package by its name, e.g. `@node-llama-cpp/win-x64-cuda` is win32 on x64. */
function platformOf(name: string): { os: string[]; cpu: string[] } | undefined {
  const [, system = '', cpu = ''] = /^@node-llama-cpp\/([a-z]+)-([a-z0-9]+)/.exec(name) ?? [];
  const os = osOf[system];
  return os === undefined ? undefined : { os: [os], cpu: [cpu] };
}

for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    const platform = platformOf(name);
    if (lock.packages[key] !== undefined || platform === undefined) continue;
    lock.packages[key] = { version, optional: true, ...platform };
    console.log(`added ${name}@${version} (${platform.os[0]}, ${platform.cpu[0]})`);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en')));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
