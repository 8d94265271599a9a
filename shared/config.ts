// Settings: declared once, read from the environment once, documented by their declaration.
import { readFileSync } from 'node:fs';
import { redisUrl } from './redis-url.ts';

export interface Setting<T> {
  /** Name of the environment variable. */
  readonly name: string;
  /** Other names that are read when `name` is unset; Ollama's, mostly. */
  readonly aliases: readonly string[];
  /** The value when none is given, as one would write it; `null` = none. */
  readonly fallback: string | null;
  /** One sentence for the README's table. */
  readonly about: string;
  /** What the default means, where its text alone does not say. */
  readonly fallbackAbout?: string;
  /** Never shown in an error. */
  readonly secret?: boolean;
  /** @throws Error whose message says what is allowed */
  readonly parse: (text: string) => T;
}

type Declared = Record<string, Setting<unknown>>;
export type Settings<D extends Declared> = { readonly [K in keyof D]: D[K] extends Setting<infer T> ? T : never };

/** Every wrong setting at once: the process does not start. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`wrong settings:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

interface Declaration<T> {
  name: string;
  about: string;
  parse: (text: string) => T;
  aliases?: readonly string[];
  fallback?: string;
  fallbackAbout?: string;
  secret?: boolean;
}

/** A setting that always has a value: `fallback` is parsed when nothing is given. */
export function setting<T>(declaration: Declaration<T> & { fallback: string }): Setting<T> {
  return { aliases: [], ...declaration };
}

/** A setting that may be absent: `null` then. */
export function optional<T>(declaration: Omit<Declaration<T>, 'fallback'>): Setting<T | null> {
  return { aliases: [], fallback: null, ...declaration };
}

/**
 * Reads every declared setting. An empty variable counts as unset. A secret may lie in a file, which `NAME_FILE` names.
 * @throws SettingsError naming every problem
 */
export function readSettings<D extends Declared>(declared: D, env: Record<string, string | undefined>): Settings<D> {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, declaration] of Object.entries(declared)) {
    const name = [declaration.name, ...declaration.aliases].find((name) => env[name]) ?? declaration.name;
    let text = env[name] || declaration.fallback;
    try {
      if (declaration.secret) text = secretOf(name, env) ?? declaration.fallback;
      values[key] = text === null ? null : declaration.parse(text);
    } catch (error) {
      const got = declaration.secret ? '' : `, got ${JSON.stringify(text)}`;
      problems.push(`${name}: ${(error as Error).message}${got}`);
    }
  }
  if (problems.length > 0) throw new SettingsError(problems);
  return Object.freeze(values) as Settings<D>;
}

/** As containers and systemd hand secrets over: a file, whose last line end is none of its text. @throws Error */
function secretOf(name: string, env: Record<string, string | undefined>): string | null {
  const path = env[`${name}_FILE`];
  if (!path) return env[name] || null;
  if (env[name]) throw new Error(`is set, and so is ${name}_FILE: keep one of them`);
  let held;
  try {
    held = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new Error(`${name}_FILE cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (held === '') throw new Error(`the file ${path} of ${name}_FILE is empty`);
  return held;
}

export function text(value: string): string {
  return value;
}

export function integer(least: number, most: number): (value: string) => number {
  return (value) => {
    const number = /^-?\d+$/.test(value.trim()) ? Number(value) : Number.NaN;
    if (!(number >= least && number <= most)) throw new Error(`must be a whole number from ${least} to ${most}`);
    return number;
  };
}

export function choice<const T extends string>(...values: readonly T[]): (value: string) => T {
  return (value) => {
    const found = values.find((known) => known === value.toLowerCase());
    if (found === undefined) throw new Error(`must be one of ${values.join(', ')}`);
    return found;
  };
}

/** An absolute URL with one of the given schemes; a trailing slash is taken off. */
export function url(...schemes: readonly string[]): (value: string) => string {
  return (value) => {
    const { protocol, host } = URL.canParse(value) ? new URL(value) : { protocol: ':', host: '' };
    if (host === '' || !schemes.includes(protocol.slice(0, -1)))
      throw new Error(`must be a URL like ${schemes[0]}://host:port`);
    return value.replace(/\/+$/, '');
  };
}

/** Bytes: `4194304`, `4MiB`, `512KiB`. */
export function bytes(least: number, most: number): (value: string) => number {
  const units: Record<string, number> = { '': 1, b: 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3 };
  return (value) => {
    const [, digits = '', unit = ''] = /^(\d+)\s*([a-z]*)$/i.exec(value.trim()) ?? [];
    const size = digits === '' ? Number.NaN : Number(digits) * (units[unit.toLowerCase()] ?? Number.NaN);
    if (!(size >= least && size <= most)) {
      throw new Error(`must be a size from ${least} to ${most} bytes, such as 4MiB`);
    }
    return size;
  };
}

const unitMs: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * Milliseconds of a Go duration (`5m`, `1h30m`, `1.5s`), the grammar of Ollama's settings and `keep_alive`.
 * @returns NaN when the text is none
 */
export function goDurationMs(value: string): number {
  const [, sign = '', parts = ''] =
    /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|[µμ]s|ms|s|m|h))+|0)$/.exec(value.trim()) ?? [];
  if (parts === '') return Number.NaN;
  let sum = 0;
  for (const [, number = '', unit = ''] of parts.matchAll(/(\d+\.?\d*|\.\d+)([a-zµμ]+)/g)) {
    sum += Number(number) * (unitMs[unit] ?? Number.NaN);
  }
  return sign === '-' ? -sum : sum;
}

/** Milliseconds from a Go duration or a whole number of seconds, within bounds. */
export function duration(leastMs: number, mostMs: number): (value: string) => number {
  return (value) => {
    const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1_000 : goDurationMs(value);
    if (!(ms >= leastMs && ms <= mostMs)) {
      throw new Error(`must be a duration from ${leastMs / 1_000} s to ${mostMs / 1_000} s, such as 30s or 5m`);
    }
    return ms;
  };
}

const longestMs = 7 * 24 * 3_600_000;

/** What gateways and workers of one pool must agree on. */
export const poolSettings = {
  redisUrl: optional({
    name: 'REDIS_URL',
    about:
      'Redis 7 or newer that holds the ledger, shared by all gateways and workers of a pool: `redis://host:port`, `rediss://` for TLS, `redis+sentinel://host:port,host:port/name` or `redis+cluster://host:port,host:port`. What was run is 7.0.15.',
    fallbackAbout: 'in memory, for one gateway',
    secret: true,
    parse: redisUrl,
  }),
  pool: setting({
    name: 'POOL',
    about: 'Name of the pool: gateways and workers of one name share slots and a queue.',
    fallback: 'berth',
    parse: (value) => {
      if (!/^[A-Za-z0-9._-]{1,64}$/.test(value)) throw new Error('must be 1 to 64 letters, digits, dots or dashes');
      return value;
    },
  }),
  clusterSecret: optional({
    name: 'CLUSTER_SECRET',
    about: 'Secret that gateways and workers sign their calls with, at least 16 characters.',
    fallbackAbout: 'made at the first start and kept in Redis',
    secret: true,
    parse: (value) => {
      if (value.length < 16) throw new Error('must have at least 16 characters');
      return value;
    },
  }),
  modelsFile: optional({
    name: 'MODELS_FILE',
    about:
      'JSON file with other names for models, and with settings of single models, read anew when it changes: see docs/models.md. For gateways and workers.',
    fallbackAbout: 'none',
    parse: text,
  }),
  logLevel: setting({
    name: 'LOG_LEVEL',
    about: 'Least severe level that is logged: debug, info, warn or error.',
    fallback: 'info',
    parse: choice('debug', 'info', 'warn', 'error'),
  }),
  logFormat: setting({
    name: 'LOG_FORMAT',
    about: '`json` is one object per line, `pretty` is for people; `auto` is pretty on a terminal and JSON elsewhere.',
    fallback: 'auto',
    parse: choice('auto', 'json', 'pretty'),
  }),
  drainTimeoutMs: setting({
    name: 'DRAIN_TIMEOUT',
    about: 'How long running requests may go on after SIGTERM before they are cut with an error.',
    fallback: '120s',
    parse: duration(0, longestMs),
  }),
};
