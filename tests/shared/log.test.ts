// The log: one JSON line per event, of a bounded length, whatever is said.
import { assert, dictionary, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLog, silentLog } from '@berth/shared/log.ts';
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
