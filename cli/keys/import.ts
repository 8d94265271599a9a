// `berth keys import`: brings exported keys back.
import { call } from '../api.ts';
import { Failed } from '../command.ts';
import type { Command } from '../command.ts';

export const importKeys: Command = {
  name: 'keys import',
  about: 'takes over the keys of an export: all of them, or none when one is wrong',
  help: `FILE is what "berth keys export" printed, or - for what is piped in. A key that was revoked does not come back.`,
  options: {},
  words: ['FILE'],
  async run({ words: [path = ''] }, world) {
    const keys = readJson(await world.read(path).catch((error: Error) => fail(`${path}: ${error.message}`)), path);
    const { changed } = (await call(world, 'POST', '/admin/import', keys)) as { changed: number };
    world.explain(`${changed} keys are new or changed.`);
  },
};

function readJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return fail(`${path} is no export of keys: it is not JSON`);
  }
}

function fail(message: string): never {
  throw new Failed(message);
}
