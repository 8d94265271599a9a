// How a person may put the same thing: patterns with alternatives, polite wrappings, casing, and slips of the keyboard.
import type { Chance } from '../chance.ts';

/** Expands "[how|what] is [it|]": one alternative of each bracket, brackets may nest. Spaces are tidied. */
export function expand(pattern: string, chance: Chance): string {
  let text = pattern;
  for (;;) {
    const next = text.replace(/\[([^[\]]*)\]/g, (_, choices: string) => chance.pick(choices.split('|')));
    if (next === text)
      return text
        .replace(/ +/g, ' ')
        .replace(/ ([?!.,])/g, '$1')
        .trim();
    text = next;
  }
}

const before = [
  'please',
  'hi,',
  'hello,',
  'hey,',
  'hey there,',
  'ok,',
  'okay',
  'so',
  'well,',
  'now',
  'and',
  'also,',
  'quick question:',
  'one question:',
  'question:',
  'sorry,',
  'excuse me,',
  'good morning,',
  'hi there!',
  'hello!',
  'I have a question:',
  'another question:',
  'just curious:',
  'one more thing:',
  'thanks.',
  'next:',
  'um,',
  'right,',
  'I am new here.',
  'my boss asks:',
  'for my notes:',
];
const after = [
  'please',
  'thanks',
  'thank you',
  'in short',
  'briefly',
  'exactly',
  'in one sentence',
  'for a beginner',
  'in simple words',
  'then',
  'again',
  'by the way',
  'I forgot',
  'I am curious',
  'I need to know',
  'if you know',
  'if I may ask',
  'can you help me',
  'quickly',
  'really',
  'do you know',
];

/** Wraps a request in politeness, changes its casing and its last mark, and now and then slips a letter. */
export function say(request: string, chance: Chance): string {
  let text = request;
  if (chance.happens(0.22)) text = `${chance.pick(before)} ${text}`;
  const mark = /[?!.]$/.exec(text)?.[0] ?? '';
  if (chance.happens(0.15))
    text = `${text.slice(0, text.length - mark.length)}${chance.pick([' ', ', '])}${chance.pick(after)}${mark}`;
  return slip(marked(cased(text, chance), chance), chance);
}

function cased(text: string, chance: Chance): string {
  const dice = chance.unit();
  if (dice < 0.45) return text.charAt(0).toUpperCase() + text.slice(1);
  if (dice < 0.7) return text.toLowerCase();
  if (dice < 0.73) return text.toUpperCase();
  return text;
}

function marked(text: string, chance: Chance): string {
  const bare = text.replace(/[?!.]$/, '');
  const dice = chance.unit();
  if (dice < 0.25) return bare;
  if (dice < 0.3) return `${bare}${chance.pick(['??', ' ?', '!', '...', '?!', '.', '\n'])}`;
  return text;
}

/** With a small probability swaps, drops or doubles one letter. */
export function slip(text: string, chance: Chance): string {
  if (!chance.happens(0.1) || text.length < 6) return text;
  const at = chance.between(1, text.length - 3);
  const [left, first, second, rest] = [text.slice(0, at), text.charAt(at), text.charAt(at + 1), text.slice(at + 2)];
  return chance.pick([
    `${left}${second}${first}${rest}`,
    `${left}${second}${rest}`,
    `${left}${first}${first}${second}${rest}`,
  ]);
}
