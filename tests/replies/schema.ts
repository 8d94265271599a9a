// A small check of values against the published API descriptions: types, enums, required fields, references.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isObject } from '@berth/shared/dialects/check.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';

/** The descriptions stay outside the project, beside the checkout. */
const openaiFile = path.resolve(import.meta.dirname, '../../../shared/specs/openai.json');

/** OpenAI's description, or `null` when it is not there. */
export function openaiDescription(): JsonObject | null {
  if (!existsSync(openaiFile)) return null;
  const description: unknown = JSON.parse(readFileSync(openaiFile, 'utf8'));
  return isObject(description) ? description : null;
}

/** What is wrong with a value, as lines that name the place; empty when it is valid. */
export function faultsOf(description: JsonObject, schemaName: string, value: unknown): string[] {
  return faults(description, { $ref: `#/components/schemas/${schemaName}` }, value, schemaName);
}

function faults(root: JsonObject, schema: unknown, value: unknown, at: string): string[] {
  if (!isObject(schema)) return [];
  if (typeof schema['$ref'] === 'string')
    return faults(root, { ...resolve(root, schema['$ref']), ...nullable(schema) }, value, at);
  if (value === null && schema['nullable'] === true) return [];
  return [
    ...typeFaults(schema, value, at),
    ...listOf(schema['allOf']).flatMap((each) => faults(root, each, value, at)),
    ...choiceFaults(root, schema, value, at),
    ...fieldFaults(root, schema, value, at),
    ...(Array.isArray(value) ? value.flatMap((item, i) => faults(root, schema['items'], item, `${at}[${i}]`)) : []),
  ];
}

function nullable(schema: JsonObject): JsonObject {
  return schema['nullable'] === true ? { nullable: true } : {};
}

function resolve(root: JsonObject, reference: string): JsonObject {
  const found = reference
    .slice(2)
    .split('/')
    .reduce<unknown>((owner, key) => (isObject(owner) ? owner[key] : undefined), root);
  if (!isObject(found)) throw new Error(`the description has no ${reference}`);
  return found;
}

function typeFaults(schema: JsonObject, value: unknown, at: string): string[] {
  const type = schema['type'];
  const allowed = schema['enum'];
  if (typeof type === 'string' && !hasType(type, value)) return [`${at} is not ${type}`];
  if (Array.isArray(allowed) && !allowed.includes(value)) return [`${at} is not one of ${JSON.stringify(allowed)}`];
  return [];
}

function hasType(type: string, value: unknown): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isObject(value);
  return type === 'integer' ? Number.isInteger(value) : typeof value === type;
}

function choiceFaults(root: JsonObject, schema: JsonObject, value: unknown, at: string): string[] {
  const choices = [...listOf(schema['anyOf']), ...listOf(schema['oneOf'])];
  const wrong = choices.map((choice) => faults(root, choice, value, at));
  return wrong.length === 0 || wrong.some((each) => each.length === 0) ? [] : wrong.flat();
}

function fieldFaults(root: JsonObject, schema: JsonObject, value: unknown, at: string): string[] {
  if (!isObject(value)) return [];
  const missing = listOf(schema['required']).filter((key) => typeof key === 'string' && !Object.hasOwn(value, key));
  const known = isObject(schema['properties']) ? schema['properties'] : {};
  return [
    ...missing.map((key) => `${at} has no ${String(key)}`),
    ...Object.keys(known).flatMap((key) =>
      Object.hasOwn(value, key) ? faults(root, known[key], value[key], `${at}.${key}`) : [],
    ),
  ];
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
