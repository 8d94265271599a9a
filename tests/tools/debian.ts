// Programs that a test needs, taken from Debian's packages without installing them and without root's rights.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, readdir, rename, rm } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where unpacked packages are kept between runs; git ignores it. */
const cacheFolder = resolve(import.meta.dirname, '../../.cache/debian');

export interface DebianPackages {
  /** Folder that holds the packages' files as they would lie below `/`. */
  root: string;
  /** The process's environment with the packages' programs and libraries first. */
  env: NodeJS.ProcessEnv;
}

/**
 * Fetches packages and whatever they need that this system lacks, with the system's own sources and keys but with
 * lists and caches of its own, and unpacks them. A second call finds them in the cache.
 * @throws Error that says which step failed
 */
export async function fetchDebianPackage(names: readonly string[]): Promise<DebianPackages> {
  const root = join(cacheFolder, await cacheName(names));
  if (!(await exists(root))) await fill(root, names);
  return { root, env: await environment(root) };
}

/** Other releases and processors have other files, so they get other folders. */
async function cacheName(names: readonly string[]): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => 'unknown');
  const hash = createHash('sha256')
    .update(`${release}\n${process.arch}\n${names.join(' ')}`)
    .digest('hex');
  return `${names[0] ?? 'nothing'}-${hash.slice(0, 12)}`;
}

/** Works in a folder beside the final one and renames it at the end: a half-filled cache is never seen. */
async function fill(root: string, names: readonly string[]): Promise<void> {
  console.log(`tests: fetching Debian's ${names.join(', ')} into .cache/debian (nothing is installed)`);
  await mkdir(cacheFolder, { recursive: true });
  const work = await mkdtemp(`${root}.part-`);
  try {
    await unpackAll(await download(work, names), join(work, 'root'));
    await rename(join(work, 'root'), root).catch(async (error: unknown) => {
      if (!(await exists(root))) throw error; // else another process was faster
    });
  } catch (error) {
    throw new Error(`Debian's ${names.join(', ')} could not be fetched: ${reason(error)}`, { cause: error });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The `.deb` files of the packages and of what they need beyond the system's own, checked by apt. */
async function download(work: string, names: readonly string[]): Promise<string[]> {
  const debs = join(work, 'debs');
  await Promise.all(
    [debs, join(work, 'state/lists/partial'), join(work, 'cache/archives/partial')].map((folder) =>
      mkdir(folder, { recursive: true }),
    ),
  );
  const options = aptOptions(work);
  // A source that does not answer is no reason to stop: the others may have everything.
  await run('apt-get', [...options, '-qq', 'update']).catch(() => undefined);
  const plan = await run('apt-get', [
    ...options,
    '-qq',
    '--yes',
    '--no-install-recommends',
    '--print-uris',
    'install',
    ...names,
  ]);
  const versions = [...plan.stdout.matchAll(/^'[^']*' (\S+?)_(\S+?)_\S+ /gm)].map(
    ([, name, version]) => `${name}=${decodeURIComponent(version ?? '')}`,
  );
  // What is installed already is missing from the plan; its program is then taken from the package all the same.
  const planned = new Set(versions.map((item) => item.slice(0, item.indexOf('='))));
  const wanted = [...versions, ...names.filter((name) => !planned.has(name))];
  await run('apt-get', [...options, '-qq', 'download', ...wanted], { cwd: debs, maxBuffer: 2 ** 24 });
  return (await readdir(debs)).map((file) => join(debs, file));
}

/** The system's sources, keys and list of installed packages; everything that is written lies in `work`. */
function aptOptions(work: string): string[] {
  const settings = {
    'Dir::State': join(work, 'state'),
    'Dir::State::status': '/var/lib/dpkg/status',
    'Dir::Cache': join(work, 'cache'),
    'Debug::NoLocking': '1',
    // As root, apt would fetch as a user that may not write here.
    'APT::Sandbox::User': 'root',
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

async function unpackAll(debs: readonly string[], root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const deb of debs) await run('dpkg-deb', ['-x', deb, root]);
}

async function environment(root: string): Promise<NodeJS.ProcessEnv> {
  const programs = ['usr/bin', 'usr/sbin', 'bin', 'sbin'].map((folder) => join(root, folder));
  const libraries = (await Promise.all(['usr/lib', 'lib'].map((folder) => libraryFolders(join(root, folder))))).flat();
  const { PATH = '', LD_LIBRARY_PATH = '' } = process.env;
  return {
    ...process.env,
    PATH: joined([...programs, PATH]),
    LD_LIBRARY_PATH: joined([...libraries, LD_LIBRARY_PATH]),
  };
}

/** The folder itself and the one of the processor, e.g. `x86_64-linux-gnu`. */
async function libraryFolders(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return [...names.filter((name) => name.includes('-linux-')).map((name) => join(folder, name)), folder];
}

function joined(folders: readonly string[]): string {
  return folders.filter((folder) => folder !== '').join(delimiter);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return ('stderr' in error && String(error.stderr).trim()) || error.message;
}
