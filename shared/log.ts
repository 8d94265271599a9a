// The log: one JSON line per event. Callers pass facts, never prompts, answers or secrets.
import type { Clock } from './clock.ts';

const levels = ['debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof levels)[number];
export type Fields = Record<string, string | number | boolean | null | undefined>;

export type Log = Record<Level, (message: string, fields?: Fields) => void>;

/** Longest message or field value that is written, in characters: an error text of a client's making stays bounded. */
const textMax = 2_000;

export interface LogOptions {
  /** Name of the process in every line, e.g. `gateway`. */
  source: string;
  level: Level;
  clock: Clock;
  write: (line: string) => void;
}

export function createLog({ source, level, clock, write }: LogOptions): Log {
  const emit =
    (at: Level) =>
    (message: string, fields: Fields = {}) => {
      if (levels.indexOf(at) < levels.indexOf(level)) return;
      const line: Fields = { time: new Date(clock.now()).toISOString(), level: at, source, message: cut(message) };
      for (const [name, value] of Object.entries(fields)) line[name] = typeof value === 'string' ? cut(value) : value;
      write(`${JSON.stringify(line)}\n`);
    };
  return { debug: emit('debug'), info: emit('info'), warn: emit('warn'), error: emit('error') };
}

function cut(value: string): string {
  return value.length <= textMax ? value : `${value.slice(0, textMax)}…`;
}

/** A log that says nothing, for tests. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
