// How a line of the log looks: JSON for programs, columns for a person at a terminal. Pure.
import type { Fields, Level } from './log.ts';

export interface Line {
  time: string;
  level: Level;
  source: string;
  message: string;
  fields: Fields;
}

export type LogFormat = 'json' | 'pretty' | 'colored';

export function lineText(format: LogFormat, { time, level, source, message, fields }: Line): string {
  if (format === 'json') return JSON.stringify({ time, level, source, message, ...fields });
  const paint = format === 'colored' ? colored : plain;
  const shown = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  const pairs = shown.map(([name, value]) => `${paint(`${name}=`, 'dim')}${word(value)}`);
  const clock = paint(time.slice(11, 23), 'dim');
  return [clock, paint(level.padEnd(5), level), source, word(message, / /), ...pairs].join(' ');
}

/** As it is when it is one word; else quoted, so that no text can look like another line or field. */
function word(value: unknown, allowed = /(?!)/): string {
  const text = String(value);
  const simple = /^[\w.:/@+,()'*[\]{}-]+$/;
  return simple.test(text.replaceAll(new RegExp(allowed, 'g'), '_')) ? text : JSON.stringify(text);
}

type Paint = 'dim' | Level;
const codes: Record<Paint, string> = { dim: '2', debug: '2', info: '32', warn: '33', error: '31' };

function colored(text: string, paint: Paint): string {
  return `\u001b[${codes[paint]}m${text}\u001b[0m`;
}

function plain(text: string): string {
  return text;
}
