// What a command of the command line is.
import type { ParseArgsOptionDescriptor } from 'node:util';
import type { Clock } from '@berth/shared/clock.ts';

/** What a command may do to the world. */
export interface World {
  /** Origin of a gateway. */
  url: string;
  key: string | null;
  /** Its environment, as the settings of gateway and worker are read from it. */
  env: Readonly<Record<string, string | undefined>>;
  /** Whether a person reads the result. */
  terminal: boolean;
  clock: Clock;
  pause: (ms: number) => Promise<void>;
  /** To whoever reads the result: a pipe, perhaps. */
  say: (text: string) => void;
  /** To whoever typed the command. */
  explain: (text: string) => void;
  /** From now on this process is a part of Berth (`deploy` = all of it), with these settings beside its environment. */
  become: (part: 'deploy' | 'gateway' | 'worker', settings: Record<string, string>) => Promise<void>;
  /** A line that takes the place of the one before it; only where a person reads. An empty one takes it away. */
  draw: (line: string) => void;
  /** A file, or `-` for what is piped in. */
  read: (path: string) => Promise<string>;
  write: (path: string, text: string) => Promise<void>;
}

export interface Given {
  /** What stands after the command, in order. */
  words: string[];
  /** By name, as typed; a list where an option may be repeated. */
  options: Record<string, string | boolean | (string | boolean)[] | undefined>;
}

export interface Command {
  /** As it is typed, e.g. `keys create`. */
  name: string;
  /** One line for the list of commands. */
  about: string;
  /** The whole of its help below the first line. */
  help: string;
  options: Record<string, ParseArgsOptionDescriptor>;
  /** What its words are called, in order. */
  words: readonly string[];
  /** @throws Failed, Misused */
  run: (given: Given, world: World) => Promise<void>;
}

/** The gateway said no or cannot be reached, or what was looked at is not well: exit code 1. */
export class Failed extends Error {
  override readonly name = 'Failed';
}

/** The command was typed wrongly: exit code 2. */
export class Misused extends Error {
  override readonly name = 'Misused';
}
