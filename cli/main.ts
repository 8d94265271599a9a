// The command line's process: the only place in it that knows the environment and the terminal.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scheduler } from 'node:timers/promises';
import { systemClock } from '@berth/shared/clock.ts';
import { nodeOptions } from '../gateway/settings.ts';
import { berth } from './berth.ts';

const { BERTH_URL, BERTH_KEY, API_KEY, API_KEY_FILE, STATE_DIR, GATEWAY_PORT } = process.env;

const read = async (path: string): Promise<string> => (await readFile(path, 'utf8').catch(() => '')).trim();

/** The key that was given, else the first of the gateway's settings, else the one that a gateway in this folder made. */
async function findKey(): Promise<string | null> {
  const given = BERTH_KEY || API_KEY || (API_KEY_FILE && (await read(API_KEY_FILE))) || '';
  const [first = ''] = given.split(',', 1);
  return first.trim() || (await read(join(STATE_DIR || '.berth', 'key'))) || null;
}

/** Where no person looks, a line that is drawn again and again would be noise. */
function draw(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`);
}

process.exitCode = await berth(process.argv.slice(2), {
  url: (BERTH_URL || `http://127.0.0.1:${GATEWAY_PORT || '8080'}`).replace(/\/+$/, ''),
  key: await findKey(),
  env: process.env,
  terminal: process.stdout.isTTY,
  clock: systemClock,
  pause: (ms) => scheduler.wait(ms),
  say: (text) => void process.stdout.write(`${text}\n`),
  explain: (text) => void process.stderr.write(`${text}\n`),
  async become(part, settings) {
    Object.assign(process.env, settings);
    const start = new URL(`../${part}/start.mjs`, import.meta.url);
    // Options of Node itself need a program of their own, in this very process; where the system has no such call, it
    // starts without.
    if (part === 'gateway')
      process.execve?.(process.execPath, [process.execPath, ...nodeOptions, fileURLToPath(start)]);
    await import(start.href);
  },
  draw,
  write: (path, text) => writeFile(path, text),
  read: (path) => readFile(path === '-' ? '/dev/stdin' : path, 'utf8'),
});
