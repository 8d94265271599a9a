// The log: one JSON line per event, of a bounded length, whatever is said.
import { assert, dictionary, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLog, formatFor, silentLog } from '@berth/shared/log.ts';
import type { Level } from '@berth/shared/log.ts';
import { virtualClock } from '../doubles/clock.ts';

function logging(level: Level) {
  const lines: string[] = [];
  const log = createLog({ source: 'gateway', level, clock: virtualClock(0), write: (line) => void lines.push(line) });
  return { log, lines };
}

describe('the log', () => {
  it('writes a line with time, level, source, message and fields', () => {
    const { log, lines } = logging('info');
    log.info('listening', { port: 8080, host: 'h', tls: false, path: null, left: undefined });
    expect(lines).toEqual([
      '{"time":"1970-01-01T00:00:00.000Z","level":"info","source":"gateway","message":"listening","port":8080,"host":"h","tls":false,"path":null}\n',
    ]);
  });

  it.each([
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
  ] as const)('at %s writes %j', (level, expected) => {
    const { log, lines } = logging(level);
    for (const at of ['debug', 'info', 'warn', 'error'] as const) log[at](at);
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(expected);
  });

  it('is one line of JSON, whatever is said', () => {
    assert(
      property(string({ unit: 'binary' }), dictionary(string(), string({ unit: 'binary' })), (message, fields) => {
        const { log, lines } = logging('info');
        log.info(message, fields);
        expect(lines).toHaveLength(1);
        expect(lines[0]).toMatch(/^[^\n]*\n$/);
        expect(() => JSON.parse(lines[0] ?? '') as unknown).not.toThrow();
      }),
    );
  });

  it('bounds what is written of a message and of a field', () => {
    const { log, lines } = logging('info');
    log.info('m'.repeat(10 ** 6), { field: 'f'.repeat(10 ** 6) });
    const line = JSON.parse(lines[0] ?? '') as { message: string; field: string };
    expect([line.message, line.field]).toEqual([`${'m'.repeat(2_000)}…`, `${'f'.repeat(2_000)}…`]);
  });

  it('writes numbers that JSON does not know as null', () => {
    const { log, lines } = logging('info');
    log.info('x', { value: Number.NaN });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ value: null });
  });

  it('of silence says nothing', () => {
    expect(silentLog.error('x')).toBeUndefined();
  });
});

describe('the log for people', () => {
  const pretty = (format: 'pretty' | 'colored') => {
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line);
    return { log: createLog({ source: 'gateway', level: 'info', clock: virtualClock(0), format, write }), lines };
  };

  it('has the same facts in columns', () => {
    const { log, lines } = pretty('pretty');
    log.warn('worker lost', { worker: 'box-1', why: 'it does not answer', port: 80, left: undefined, none: null });
    expect(lines).toEqual(['00:00:00.000 warn  gateway worker lost worker=box-1 why="it does not answer" port=80\n']);
  });

  it('has colors where they are wanted', () => {
    const { log, lines } = pretty('colored');
    log.error('no', { a: 1 });
    expect(lines[0]).toContain('\u001b[31merror\u001b[0m gateway no \u001b[2ma=\u001b[0m1');
  });

  it('cannot be made to look like another line, whatever is said', () => {
    assert(
      property(string({ unit: 'binary' }), string({ unit: 'binary' }), (message, value) => {
        const { log, lines } = pretty('pretty');
        log.info(message, { value });
        const control = Array.from(lines[0] ?? '').filter((letter) => letter < ' ' || letter === '\u007f');
        expect(control).toEqual(['\n']);
      }),
    );
  });

  it('is chosen by the setting and the terminal', () => {
    expect(formatFor('auto', true, false)).toBe('colored');
    expect(formatFor('auto', true, true)).toBe('pretty');
    expect(formatFor('auto', false, false)).toBe('json');
    expect(formatFor('json', true, false)).toBe('json');
    expect(formatFor('pretty', false, false)).toBe('pretty');
  });
});
