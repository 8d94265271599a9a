// A headless Chromium for tests: found on the system or taken from Debian's package, driven by playwright-core.
import { access, constants, readdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';
import { fetchDebianPackage } from './debian.ts';

interface Program {
  path: string;
  env: NodeJS.ProcessEnv;
}

const names = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome'];
let found: Promise<Program> | undefined;

/** Fetching it takes some 15 s, once. @throws Error that says how to bring a browser when none can be found or fetched */
export async function browserProgram(): Promise<Program> {
  found ??= onPath().then((program) => program ?? fromDebian());
  return found;
}

/** The pages of our own tests only: no sandbox is needed, and where root runs the tests there is none. */
export async function startChromium(): Promise<Browser> {
  const { path, env } = await browserProgram();
  return chromium.launch({ executablePath: path, env, args: ['--disable-gpu'] });
}

async function onPath(): Promise<Program | null> {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const path of names.flatMap((name) => folders.map((folder) => join(folder, name)))) {
    if (await isProgram(path)) return { path, env: process.env };
  }
  return null;
}

async function fromDebian(): Promise<Program> {
  try {
    const { root, env } = await fetchDebianPackage(['chromium-headless-shell', 'fonts-dejavu-core']);
    return { path: join(root, 'usr/lib/chromium/chromium-headless-shell'), env: await atHome(root, env) };
  } catch (error) {
    throw new Error(
      `The console's tests need Chromium, and none was found or could be fetched: install one, so that it is on the PATH under one of the names ${names.join(', ')}`,
      { cause: error },
    );
  }
}

/** Fonts are found by a file of their own, and a library keeps a part of itself in a folder of its own. */
async function atHome(root: string, env: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  const fonts = join(root, 'fonts.conf');
  const dirs = [join(root, 'usr/share/fonts'), '/usr/share/fonts'].map((dir) => `<dir>${dir}</dir>`).join('');
  await writeFile(fonts, `<fontconfig>${dirs}<cachedir>${join(root, 'fonts-cache')}</cachedir></fontconfig>`);
  const lib = join(root, 'usr/lib');
  const libraries = (await readdir(lib)).filter((name) => name.includes('-linux-'));
  const inner = libraries.map((name) => join(lib, name, 'pulseaudio'));
  return {
    ...env,
    FONTCONFIG_FILE: fonts,
    LD_LIBRARY_PATH: [...inner, env['LD_LIBRARY_PATH']].filter(Boolean).join(delimiter),
  };
}

async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
