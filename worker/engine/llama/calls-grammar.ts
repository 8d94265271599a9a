// The grammar of an answer that has to be tool calls, or may be: in the model's own syntax, arguments by their schema.
import type { CallsFormat, EngineRequest } from '../engine.ts';
import { type Writer, addRule, formatRule, gbnf, gbnfFor, quoted, schemaRule } from './grammar.ts';

/** Calls in one answer: a model that never stops calling would fill its context. */
const callsMax = 16;

/** Whether an answer may begin with any text. */
export function beginsFreely(format: EngineRequest['format']): boolean {
  return format.kind === 'text' || (format.kind === 'calls' && format.otherwise?.kind === 'text');
}

/**
 * @param ofClient makes a client's grammar one that may be followed
 * @returns the grammar's text, or `null` when any text will do
 * @throws Refusal `bad_request`
 */
export async function grammarFor(
  format: EngineRequest['format'],
  ofClient: (grammar: string) => Promise<string>,
): Promise<string | null> {
  if (format.kind === 'grammar') return await ofClient(format.grammar);
  return format.kind === 'calls' ? gbnf((writer) => callsRule(format, writer)) : gbnfFor(format);
}

/** The right-hand side of the answer's rule. */
function callsRule(format: CallsFormat, writer: Writer): string {
  const { otherwise } = format;
  if (otherwise?.kind === 'text') return textThenCalls(format, writer);
  const opening = openingOf(format);
  const calls = `${quoted(opening)} ${afterOpening(format, writer)}`;
  return otherwise === null ? calls : `${calls} | ${addRule(writer, formatRule(otherwise, writer))}`;
}

/** What every answer of calls begins with. */
function openingOf({ frame }: CallsFormat): string {
  return frame.open + frame.call[0];
}

/** The rest of the first call, and more of them. */
function afterOpening({ frame, tools, several }: CallsFormat, writer: Writer): string {
  const [beforeName, beforeArguments, after] = frame.call;
  // A name twice would be two ways to read one call.
  const byName = new Map(tools.map((tool) => [tool.name, tool]));
  const named = [...byName.values()].map(({ name, parameters }, index) => {
    writer.scope = `t${index}-`;
    const args = schemaRule(parameters, writer, `tools.${name}.parameters`);
    writer.scope = '';
    return addRule(
      writer,
      `${quoted(JSON.stringify(name).slice(1, -1) + beforeArguments)} ( ${args} ) ${quoted(after)}`,
    );
  });
  const one = addRule(writer, named.join(' | '));
  const more =
    several && frame.between !== null ? `( ${quoted(frame.between + beforeName)} ${one} ){0,${callsMax - 1}}` : '';
  return `${one} ${more} ${quoted(frame.close)}`;
}

/**
 * Any text, and once it has written the tag of a call, calls. One rule per character of the tag that stands so far,
 * as in Knuth, Morris and Pratt's search, for a grammar cannot say "any text but this".
 */
function textThenCalls(format: CallsFormat, writer: Writer): string {
  const opening = openingOf(format);
  const tag = format.frame.tag ?? tagOf(opening);
  const base = writer.rules.size;
  const rule = (matched: number): string => `text-${base}-${matched}`;
  const rest = `${tag === opening ? '' : quoted(opening.slice(tag.length))} ${afterOpening(format, writer)}`;
  if (tag.length === 1) {
    // Without a tag, only the first character tells a call from a text.
    writer.rules.set(rule(1), '[^\\x00]*');
    return `( ${quoted(tag)} ${rest} | [^${inClass(tag)}] ${rule(1)} )?`;
  }
  const characters = [...new Set(tag)];
  const others = `[^${characters.map(inClass).join('')}] ${rule(0)}`;
  for (let matched = 0; matched < tag.length; matched += 1) {
    const steps = characters.map((character) => {
      const next = longestStart(tag, tag.slice(0, matched) + character);
      return `${quoted(character)} ${next === tag.length ? addRule(writer, rest) : rule(next)}`;
    });
    writer.rules.set(rule(matched), `( ${[others, ...steps].join(' | ')} )?`);
  }
  return rule(0);
}

/** The part of an opening that no text would have: all up to its first bracket or white space after the tag. */
function tagOf(opening: string): string {
  return /^(?:<[^>]*>|\[[A-Z_]+\]|\w+\[)/.exec(opening)?.[0] ?? opening.slice(0, 1);
}

/** How much of the tag's beginning a text ends with. */
function longestStart(tag: string, text: string): number {
  let length = Math.min(tag.length, text.length);
  while (!text.endsWith(tag.slice(0, length))) length -= 1;
  return length;
}

function inClass(character: string): string {
  return character.replace(/[[\]\\]/, '\\$&');
}
