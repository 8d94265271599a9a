// The command line: finds the command, reads its options, and turns its ending into words and an exit code.
import { parseArgs } from 'node:util';
import { bench } from './bench.ts';
import { Failed, Misused } from './command.ts';
import type { Command, Given, World } from './command.ts';
import { doctor } from './doctor.ts';
import { sizeModel } from './doctor/size.ts';
import { drainWorker, undrainWorker } from './drain.ts';
import { createKey } from './keys/create.ts';
import { exportKeys } from './keys/export.ts';
import { importKeys } from './keys/import.ts';
import { listKeys } from './keys/list.ts';
import { revokeKey } from './keys/revoke.ts';
import { rotateKey } from './keys/rotate.ts';
import { listModels } from './models/list.ts';
import { loadModel, unloadModel } from './models/load.ts';
import { moveModel, pinModel, unpinModel } from './models/pin.ts';
import { pullModel } from './models/pull.ts';
import { nearest } from './nearest.ts';
import { listQuarantine } from './quarantine/list.ts';
import { releaseQuarantine } from './quarantine/release.ts';
import { showQueue } from './queue.ts';
import { startAll, startGateway, startWorker } from './start.ts';
import { showStatus } from './status.ts';
import { showUsage } from './usage.ts';

const commands: readonly Command[] = [
  startAll,
  startGateway,
  startWorker,
  showStatus,
  showQueue,
  listModels,
  pullModel,
  loadModel,
  unloadModel,
  pinModel,
  unpinModel,
  moveModel,
  drainWorker,
  undrainWorker,
  bench,
  doctor,
  sizeModel,
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
  const found = commandOf(words) ?? listOf(words);
  const wantsHelp = args.includes('--help') || args.includes('-h') || words[0] === 'help';
  const asked = words[0] === 'help' ? words.slice(1) : words;
  const explained = commandOf(asked);
  if (wantsHelp && explained && asked.length > 0) {
    return tell(world, `${usageOf(explained)}\n\n${explained.about}\n\n${explained.help}`);
  }
  if (wantsHelp || args.length === 0) return tell(world, overview(asked[0]));
  try {
    if (!found) throw new Misused(unknown(words));
    await found.run(givenOf(found, args, words), world);
    return 0;
  } catch (error) {
    if (error instanceof Failed) world.explain(error.message);
    else if (error instanceof Misused) world.explain(`${error.message}\n\n${found ? usageOf(found) : hint}`);
    else throw error;
    return error instanceof Failed ? 1 : 2;
  }
}

const hint = 'berth help lists all commands.';

/** The longest name that fits. */
function commandOf(words: readonly string[]): Command | undefined {
  const typed = `${words.join(' ')} `;
  const fitting = commands.filter(({ name }) => typed.startsWith(`${name} `));
  return fitting.toSorted((a, b) => b.name.length - a.name.length)[0];
}

/** A group alone means its list. */
function listOf(words: readonly string[]): Command | undefined {
  return words.length === 1 ? commands.find(({ name }) => name === `${words[0]} list`) : undefined;
}

function unknown(words: readonly string[]): string {
  const typed = words.slice(0, 2).join(' ');
  const near = nearest(typed, names) ?? nearest(words[0] ?? '', names);
  return `there is no command "${typed}"${near === null ? '' : `: did you mean "berth ${near}"?`}`;
}

const names = commands.flatMap(({ name }) => [name, ...name.split(' ').slice(0, 1)]);

function tell({ say }: World, text: string): number {
  say(text);
  return 0;
}

function givenOf({ name, options, words }: Command, args: readonly string[], typed: readonly string[]): Given {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    // A group alone was taken for its list.
    const rest = positionals.slice(Math.min(name.split(' ').length, typed.length));
    if (rest.length !== words.length) {
      throw new Misused(`${name} takes ${words.join(' ') || 'nothing'} after it, not ${rest.length} words`);
    }
    return { words: rest, options: values };
  } catch (error) {
    throw error instanceof Misused ? error : new Misused(wrongOption(error as Error, Object.keys(options)));
  }
}

function wrongOption({ message }: Error, options: readonly string[]): string {
  const [, option] = /^Unknown option '--([^']+)'/.exec(message) ?? [];
  if (option === undefined) return message;
  const near = nearest(option, options);
  return `there is no option --${option}${near === null ? '' : `: did you mean --${near}?`}`;
}

function usageOf({ name, options, words }: Command): string {
  const more = Object.keys(options).length > 0 ? ['[options]'] : [];
  return ['Usage: berth', name, ...words, ...more].join(' ');
}

/** All commands, or those of a group. */
function overview(group?: string): string {
  const shown = commands.filter(({ name }) => name.split(' ')[0] === group);
  const lines = (shown.length > 0 ? shown : commands).map(({ name, about }) => `  ${name.padEnd(19)} ${about}`);
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
