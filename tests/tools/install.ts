// Packages that only tests need, in installs of their own: the checks of the project must pass before they are there.
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';

const installMs = 240_000;

/** Installs exactly what the folder's lock says, unless that has been done. @throws Error with what npm said */
export async function install(folder: string): Promise<void> {
  const changedMs = async (path: string) => (await stat(join(folder, path)).catch(() => null))?.mtimeMs ?? 0;
  const [wanted, installed] = await Promise.all(
    ['package-lock.json', 'node_modules/.package-lock.json'].map(changedMs),
  );
  if ((installed ?? 0) > (wanted ?? 0)) return;
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  await promisify(execFile)('npm', args, { cwd: folder, timeout: installMs });
}

/** Loads a package of that install, or a file of one, as whoever asks knows it. */
export function loader(folder: string): { <T>(name: string): T; resolve(name: string): string } {
  const load = createRequire(join(folder, 'package.json'));
  return Object.assign(<T>(name: string) => load(name) as T, { resolve: (name: string) => load.resolve(name) });
}
