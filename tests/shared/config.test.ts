// Settings: every problem at once, no secret shown, and what is written means what it says.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, constantFrom, integer as anInteger, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  SettingsError,
  bytes,
  choice,
  duration,
  goDurationMs,
  integer,
  optional,
  poolSettings,
  readSettings,
  setting,
  text,
  url,
} from '@berth/shared/config.ts';
import { gatewaySettings } from '../../gateway/settings.ts';

const declared = {
  count: setting({ name: 'COUNT', aliases: ['OLD_COUNT'], about: '', fallback: '4', parse: integer(1, 9) }),
  key: optional({
    name: 'KEY',
    about: '',
    secret: true,
    parse: (value) => {
      if (value.length < 4) throw new Error('must have 4 characters');
      return value;
    },
  }),
  wait: setting({ name: 'WAIT', about: '', fallback: '5m', parse: duration(0, 3_600_000) }),
};

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readSettings(declared, env);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
  }
  return [];
}

describe('settings', () => {
  it('have their fallbacks when nothing is given, or only empty text', () => {
    const fallbacks = { count: 4, key: null, wait: 300_000 };
    expect(readSettings(declared, {})).toEqual(fallbacks);
    expect(readSettings(declared, { COUNT: '', OLD_COUNT: '', KEY: '', WAIT: '' })).toEqual(fallbacks);
  });

  it('are read under their name, and under another one when that is not set', () => {
    expect(readSettings(declared, { OLD_COUNT: '7' }).count).toBe(7);
    expect(readSettings(declared, { COUNT: '2', OLD_COUNT: '7' }).count).toBe(2);
    expect(readSettings(declared, { COUNT: '', OLD_COUNT: '7' }).count).toBe(7);
  });

  it('cannot be changed once they are read', () => {
    expect(Object.isFrozen(readSettings(declared, {}))).toBe(true);
  });

  it('that are wrong are told all at once, each under the name that was written', () => {
    expect(problemsOf({ OLD_COUNT: '12', KEY: 'abc', WAIT: 'soon' })).toEqual([
      'OLD_COUNT: must be a whole number from 1 to 9, got "12"',
      'KEY: must have 4 characters',
      expect.stringMatching(/^WAIT: must be a duration .*, got "soon"$/),
    ]);
  });

  it('have an error of one line per problem', () => {
    expect(() => readSettings(declared, { COUNT: '0', KEY: 'x' })).toThrow(
      /^wrong settings:\n {2}- COUNT: .*\n {2}- KEY: .*$/,
    );
  });

  it('never show a secret, whatever it is', () => {
    const secrets = { API_KEY: 'gatewaySettings', CLUSTER_SECRET: 'poolSettings', REDIS_URL: 'poolSettings' };
    assert(
      property(constantFrom(...Object.keys(secrets)), string({ minLength: 6, maxLength: 15 }), (name, rest) => {
        const secret = `§${rest}`;
        try {
          readSettings(gatewaySettings, { [name]: secret });
        } catch (error) {
          expect(String(error)).not.toContain('§');
        }
      }),
    );
  });

  it('may be kept in a file where they are secret, without its line end', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'berth-config-')), 'key');
    await writeFile(path, 'long enough\n');
    expect(readSettings(declared, { KEY_FILE: path, KEY: '' }).key).toBe('long enough');
    expect(readSettings(declared, { KEY_FILE: '' }).key).toBeNull();
    expect(readSettings(declared, { COUNT_FILE: path }).count).toBe(4);
    expect(problemsOf({ KEY_FILE: path, KEY: 'and this' })).toEqual([
      'KEY: is set, and so is KEY_FILE: keep one of them',
    ]);
    expect(problemsOf({ KEY_FILE: `${path}-not` })).toEqual([
      expect.stringContaining('KEY: KEY_FILE cannot be read: ENOENT'),
    ]);
    await writeFile(path, 'abc\n');
    expect(problemsOf({ KEY_FILE: path })).toEqual(['KEY: must have 4 characters']);
    await writeFile(path, '\n');
    expect(problemsOf({ KEY_FILE: path })).toEqual([`KEY: the file ${path} of KEY_FILE is empty`]);
    await rm(join(path, '..'), { recursive: true });
  });

  it('of a gateway take Ollama’s name for the queue', () => {
    expect(readSettings(gatewaySettings, { OLLAMA_MAX_QUEUE: '7' }).waitingMax).toBe(7);
  });

  it('of a gateway split several keys, and want each to be one', () => {
    const [one, two] = ['a-first-key-0123456', 'a-second-key-012345'];
    expect(readSettings(gatewaySettings, { API_KEY: `${one}, ${two}` }).apiKeys).toEqual([one, two]);
    for (const API_KEY of [`${one},`, 'short', `${one},${one} x`, ',']) {
      expect(() => readSettings(gatewaySettings, { API_KEY })).toThrow(
        /^wrong settings:\n {2}- API_KEY: each key must[^"]*$/,
      );
    }
  });

  it('all have a name, words about them, and a fallback that they accept', () => {
    for (const declaration of Object.values({ ...gatewaySettings, ...poolSettings })) {
      expect(declaration.name).toMatch(/^[A-Z][A-Z_]+$/);
      expect(declaration.about).toMatch(/^[A-Z`].*\.$/);
    }
    expect(() => readSettings(gatewaySettings, {})).not.toThrow();
  });
});

describe('a whole number', () => {
  const parse = integer(-5, 1_000);
  it('is what it is written as', () => {
    assert(
      property(anInteger({ min: -5, max: 1_000 }), (number) => {
        expect(parse(` ${number} `)).toBe(number);
      }),
    );
  });
  it.each([
    '',
    ' ',
    '1.5',
    '1e2',
    '0x10',
    '1,000',
    'ten',
    '--1',
    '1001',
    '-6',
    '99999999999999999999',
    'NaN',
    'Infinity',
    '1_0',
  ])('is not %j', (value) => expect(() => parse(value)).toThrow('must be a whole number from -5 to 1000'));
});

describe('a duration', () => {
  it.each([
    ['0', 0],
    ['30', 30_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1_500],
    ['.5s', 500],
    ['250ms', 250],
    ['1h1m1s1ms', 3_661_001],
    ['2000us', 2],
    ['2000µs', 2],
    ['2000μs', 2],
    ['3000000ns', 3],
    ['+1s', 1_000],
    [' 1s ', 1_000],
  ])('%j is %d ms', (value, ms) => {
    expect(duration(0, 10 ** 9)(value)).toBeCloseTo(ms, 9);
  });

  it.each(['', 'm', '5 m', '5x', '1h 30m', '1.5', '-5', '-1s', '5min', '1e3s', '..5s', 'h1'])('is not %j', (value) => {
    expect(() => duration(0, 10 ** 9)(value)).toThrow('must be a duration from 0 s to 1000000 s, such as 30s or 5m');
  });

  it('outside its bounds is none', () => {
    const parse = duration(1_000, 60_000);
    for (const value of ['0', '999ms', '61s', '2h']) expect(() => parse(value)).toThrow('from 1 s to 60 s');
  });

  it('below nothing is a number below nothing, for those who give it a meaning', () => {
    expect([goDurationMs('-1s'), goDurationMs('-1h30m'), goDurationMs('x')]).toEqual([-1_000, -5_400_000, Number.NaN]);
  });
});

describe('a size', () => {
  it.each([
    ['1024', 1_024],
    ['4MiB', 4 * 2 ** 20],
    ['512KiB', 2 ** 19],
    ['1GiB', 2 ** 30],
    ['2 mib', 2 ** 21],
    ['7b', 7],
  ])('%j is %d bytes', (value, size) => {
    expect(bytes(1, 2 ** 40)(value)).toBe(size);
  });

  it.each(['', '4MB', '4M', '-1', '1.5MiB', 'MiB', '0', '9999GiB', '4 Mi B', '1e3'])('is not %j', (value) => {
    expect(() => bytes(1, 2 ** 40)(value)).toThrow('must be a size from 1 to');
  });
});

describe('a URL', () => {
  const parse = url('redis', 'rediss');
  it.each([
    ['redis://host:6379', 'redis://host:6379'],
    ['rediss://user:pass@host/0', 'rediss://user:pass@host/0'],
    ['redis://host/', 'redis://host'],
    ['redis://[::1]:6379//', 'redis://[::1]:6379'],
  ])('%s is one', (value, expected) => {
    expect(parse(value)).toBe(expected);
  });

  it.each(['host:6379', 'http://host', 'redis:host', 'redis://', 'redis:///0', '//host', 'redis host', '6379'])(
    '%s is none',
    (value) => {
      expect(() => parse(value)).toThrow('must be a URL like redis://host:port');
    },
  );
});

describe('a choice', () => {
  it('is taken in any case', () => {
    expect([choice('on', 'off')('ON'), choice('on', 'off')('Off')]).toEqual(['on', 'off']);
  });
  it('is none of anything else, and the error lists all', () => {
    expect(() => choice('on', 'off')('yes')).toThrow('must be one of on, off');
  });
});

it('text is taken as it is', () => {
  expect(text(' a b ')).toBe(' a b ');
});
