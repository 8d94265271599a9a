// The log: one line per event, JSON unless a person reads it. Callers pass facts, never prompts, answers or secrets.
import type { Clock } from './clock.ts';
import { lineText } from './log-line.ts';
import type { LogFormat } from './log-line.ts';

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
  /** JSON unless it is said. */
  format?: LogFormat;
  write: (line: string) => void;
}

export function createLog({ source, level, clock, format = 'json', write }: LogOptions): Log {
  const emit =
    (at: Level) =>
    (message: string, fields: Fields = {}) => {
      if (levels.indexOf(at) < levels.indexOf(level)) return;
      const kept: Fields = {};
      for (const [name, value] of Object.entries(fields)) kept[name] = typeof value === 'string' ? cut(value) : value;
      const time = new Date(clock.now()).toISOString();
      write(`${lineText(format, { time, level: at, source, message: cut(message), fields: kept })}\n`);
    };
  return { debug: emit('debug'), info: emit('info'), warn: emit('warn'), error: emit('error') };
}

function cut(value: string): string {
  return value.length <= textMax ? value : `${value.slice(0, textMax)}…`;
}

/** What the setting means here: columns where a person reads, with colors unless they are not wanted (NO_COLOR). */
export function formatFor(wanted: 'auto' | 'json' | 'pretty', terminal: boolean, noColor: boolean): LogFormat {
  if (wanted === 'json' || (wanted === 'auto' && !terminal)) return 'json';
  return terminal && !noColor ? 'colored' : 'pretty';
}

/** A log that says nothing, for tests. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
