// Calls whose arguments stand between tags, each value as bare text: text where the tool's schema wants text, else JSON.
import type { Tool } from '@berth/shared/request.ts';
import { isObject } from '@berth/shared/dialects/check.ts';
import { type Input, type Reading, closing, literal, space, until } from './input.ts';
import { jsonOf, whole } from './json.ts';

/** How a family writes one argument, and what ends the call. */
export interface ArgumentTags {
  key: string;
  keyEnd: string;
  /** Stands before the value; '' = nothing does but what ends the key. */
  value: string;
  valueEnd: string;
  end: string;
  /** Values stand on lines of their own. */
  onOwnLines?: true;
}

const nameCharsMax = 256;

/** Reads arguments up to the call's end, and tells of the call. False when it is none. */
export function* taggedCall(
  input: Input,
  tools: readonly Tool[],
  name: string,
  { key: keyOpen, keyEnd, value: valueOpen, valueEnd, end, onOwnLines }: ArgumentTags,
): Reading<boolean> {
  const args: Record<string, unknown> = {};
  for (;;) {
    yield* space(input);
    if (yield* closing(input, end)) return yield* whole(name, JSON.stringify(args), false);
    if (!(yield* literal(input, keyOpen))) return false;
    const key = (yield* until(input, nameCharsMax, keyEnd))?.trim() ?? '__proto__';
    if (key === '__proto__' || !(yield* literal(input, keyEnd))) return false;
    const hint = valueOpen === '' ? '' : yield* until(input, nameCharsMax, valueOpen);
    if (hint === null || !(yield* literal(input, valueOpen))) return false;
    const written = yield* until(input, Infinity, valueEnd);
    if (written === null || !(yield* literal(input, valueEnd))) return false;
    args[key] = valueOf(onOwnLines ? written.replace(/^\n|\n$/g, '') : written, hint, schemaOf(tools, name, key));
  }
}

function schemaOf(tools: readonly Tool[], name: string, key: string): unknown {
  const properties = tools.find((tool) => tool.name === name)?.parameters['properties'];
  return isObject(properties) ? properties[key] : undefined;
}

/** @param hint what stands between key and value: DeepSeek says there whether it is text */
function valueOf(written: string, hint: string, schema: unknown): unknown {
  const isText = !isObject(schema) || schema['type'] === 'string';
  if (hint.includes('string="true"') || (isText && !hint.includes('string="false"'))) return written;
  return written.trim() === 'null' ? null : (jsonOf(written) ?? written);
}
