// Checks of single values in a request. Each returns what it read, or refuses and names the field's path.
import { Refusal } from '../outcome.ts';
import type { JsonObject } from './json.ts';

/** Reads one value: the checked value, or a Refusal `bad_request` whose `param` is the path. */
export type Check<T> = (value: unknown, path: string) => T;

/** The fields of one object in a request. Inherited names are never seen; unknown ones are never looked at. */
export interface Fields {
  readonly path: string;
  /** `null` when the field is absent or null. */
  optional<T>(key: string, check: Check<T>): T | null;
  required<T>(key: string, check: Check<T>): T;
  pathOf(key: string): string;
}

/** @throws Refusal `bad_request`. The message never repeats the value: prompts stay out of errors and logs. */
export function refuse(path: string, what: string): never {
  if (path === '') throw new Refusal('bad_request', `the body ${what}`);
  throw new Refusal('bad_request', `${path} ${what}`, { param: path });
}

export function fieldsOf(value: unknown, path: string): Fields {
  const owner = object(value, path);
  const pathOf = (key: string): string => (path === '' ? key : `${path}.${key}`);
  const valueOf = (key: string): unknown => (Object.hasOwn(owner, key) ? (owner[key] ?? null) : null);
  return {
    path,
    pathOf,
    optional(key, check) {
      const found = valueOf(key);
      return found === null ? null : check(found, pathOf(key));
    },
    required(key, check) {
      const found = valueOf(key);
      return found === null ? refuse(pathOf(key), 'is required') : check(found, pathOf(key));
    },
  };
}

export function object(value: unknown, path: string): JsonObject {
  return isObject(value) ? value : refuse(path, `must be an object, not ${kindOf(value)}`);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function flag(value: unknown, path: string): boolean {
  return typeof value === 'boolean' ? value : refuse(path, `must be true or false, not ${kindOf(value)}`);
}

/** Any text; a lone surrogate, which no encoding can carry, becomes U+FFFD. */
export function text(value: unknown, path: string): string {
  return typeof value === 'string' ? value.toWellFormed() : refuse(path, `must be a string, not ${kindOf(value)}`);
}

export function textUpTo(charsMax: number): Check<string> {
  return (value, path) => {
    const read = text(value, path);
    return read.length <= charsMax ? read : refuse(path, `is longer than ${charsMax} characters`);
  };
}

/** A name that can stand in a log line and a header: 1 to 256 printable characters without spaces. */
export function name(value: unknown, path: string): string {
  const read = nameText(value, path);
  if (read === '') return refuse(path, 'must not be empty');
  return /^[^\s\p{C}]+$/u.test(read) ? read : refuse(path, 'must be printable characters without spaces');
}

const nameText = textUpTo(256);

/** A finite number from `min` to `max`, both included. */
export function number(min: number, max: number): Check<number> {
  return (value, path) => {
    if (typeof value !== 'number') return refuse(path, `must be a number, not ${kindOf(value)}`);
    return value >= min && value <= max ? value : refuse(path, `must be from ${min} to ${max}`);
  };
}

export function integer(min: number, max: number): Check<number> {
  const ranged = number(min, max);
  return (value, path) => {
    const read = ranged(value, path);
    return Number.isInteger(read) ? read : refuse(path, 'must be a whole number');
  };
}

export function oneOf<T extends string>(...words: readonly T[]): Check<T> {
  return (value, path) => {
    const found = words.find((word) => word === value);
    return found ?? refuse(path, `must be one of ${words.map((word) => `"${word}"`).join(', ')}`);
  };
}

export function list<T>(check: Check<T>, countMax: number): Check<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) return refuse(path, `must be an array, not ${kindOf(value)}`);
    if (value.length > countMax) return refuse(path, `has more than ${countMax} entries`);
    return value.map((item, index) => check(item, `${path}[${index}]`));
  };
}

/** JSON that is passed on as it is: bounded, and without the key that could turn into a prototype. */
export function plainJson(bytesMax: number, depthMax: number): Check<JsonObject> {
  return (value, path) => {
    const read = object(value, path);
    checkNesting(read, path, depthMax);
    const size = Buffer.byteLength(JSON.stringify(read));
    return size <= bytesMax ? read : refuse(path, `is larger than ${bytesMax} bytes`);
  };
}

function checkNesting(value: unknown, path: string, levels: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (levels === 0) refuse(path, 'is nested too deep');
  if (Object.hasOwn(value, '__proto__')) refuse(path, 'must not have a key "__proto__"');
  for (const inner of Object.values(value)) checkNesting(inner, path, levels - 1);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
