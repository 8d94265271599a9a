// The command line: finds the command, reads its options, and turns its ending into words and an exit code.
import { parseArgs } from 'node:util';
import { Failed, Misused } from './command.ts';
import type { Command, Given, World } from './command.ts';
import { doctor } from './doctor.ts';
import { createKey } from './keys/create.ts';
import { exportKeys } from './keys/export.ts';
import { importKeys } from './keys/import.ts';
import { listKeys } from './keys/list.ts';
import { revokeKey } from './keys/revoke.ts';
import { rotateKey } from './keys/rotate.ts';
import { listQuarantine } from './quarantine/list.ts';
import { releaseQuarantine } from './quarantine/release.ts';
import { showQueue } from './queue.ts';
import { showStatus } from './status.ts';
import { showUsage } from './usage.ts';
import { startWorker } from './worker.ts';

const commands: readonly Command[] = [
  showStatus,
  showQueue,
  doctor,
  startWorker,
  createKey,
  listKeys,
  rotateKey,
  revokeKey,
  exportKeys,
  importKeys,
  showUsage,
  listQuarantine,
  releaseQuarantine,
];

/** @returns 0 = done, 1 = the gateway refused or is away, or something is not well, 2 = typed wrongly */
export async function berth(args: readonly string[], world: World): Promise<number> {
  const words = args.filter((word) => !word.startsWith('-'));
  const found = commands.find(({ name }) => `${words.join(' ')} `.startsWith(`${name} `));
  const wantsHelp = args.includes('--help') || args.includes('-h') || words[0] === 'help';
  if (found && wantsHelp) return tell(world, `${usageOf(found)}\n\n${found.about}\n\n${found.help}`);
  if (wantsHelp || args.length === 0) return tell(world, overview(words[0] === 'help' ? words[1] : words[0]));
  try {
    if (!found) throw new Misused(`there is no command "${words.slice(0, 2).join(' ')}"`);
    await found.run(givenOf(found, args), world);
    return 0;
  } catch (error) {
    if (error instanceof Failed) world.explain(error.message);
    else if (error instanceof Misused) world.explain(`${error.message}\n\n${found ? usageOf(found) : overview()}`);
    else throw error;
    return error instanceof Failed ? 1 : 2;
  }
}

function tell({ say }: World, text: string): number {
  say(text);
  return 0;
}

function givenOf({ name, options, words }: Command, args: readonly string[]): Given {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    const rest = positionals.slice(name.split(' ').length);
    if (rest.length !== words.length) {
      throw new Misused(`${name} takes ${words.join(' ') || 'nothing'} after it, not ${rest.length} words`);
    }
    return { words: rest, options: values };
  } catch (error) {
    throw error instanceof Misused ? error : new Misused((error as Error).message);
  }
}

function usageOf({ name, options, words }: Command): string {
  const more = Object.keys(options).length > 0 ? ['[options]'] : [];
  return ['Usage: berth', name, ...words, ...more].join(' ');
}

/** All commands, or those of a group. */
function overview(group?: string): string {
  const shown = commands.filter(({ name }) => name.split(' ')[0] === group);
  const lines = (shown.length > 0 ? shown : commands).map(({ name, about }) => `  ${name.padEnd(18)} ${about}`);
  return [
    'Usage: berth COMMAND [options]        (npm run berth -- COMMAND [options])',
    '',
    ...lines,
    '',
    'berth COMMAND --help tells more. The gateway is at BERTH_URL (http://127.0.0.1:8080); BERTH_KEY is a key with the',
    'scope admin, else the first of API_KEY, else the key that a gateway in this folder has made (STATE_DIR/key).',
    'Exit codes: 0 done, 1 the gateway refused or does not answer, or something is not well, 2 typed wrongly.',
  ].join('\n');
}
