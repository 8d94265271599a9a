// A client's grammar: what is read, what is refused with its place, and what following it would cost.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { clientGrammars } from '../../../worker/engine/llama/client-grammar.ts';

const refusal = (message: RegExp) =>
  expect.objectContaining({ outcome: 'bad_request', param: 'grammar', message: expect.stringMatching(message) });
const check = (text: string) => clientGrammars()(text);

test.each<[string, string, RegExp]>([
  ['no text', '', /no rule "root"/],
  ['no root', 'start ::= "a"', /no rule "root"/],
  ['an unknown rule', 'root ::= "a" b', /line 1, column 15: there is no rule "b"/],
  ['a rule twice', 'root ::= "a"\nroot ::= "b"', /line 2, column 1: the rule "root" is there twice/],
  ['no ::=', 'root = "a"', /line 1, column 6: expected ::=/],
  ['an open string', 'root ::= "a', /column 12: the grammar ends within quotes/],
  ['an open class', 'root ::= [a-z', /ends within quotes or a class/],
  ['an empty class', 'root ::= []', /no character is in this class/],
  ['a range backwards', 'root ::= [z-a]', /ends before it begins/],
  ['an open bracket', 'root ::= ( "a"', /expected \)/],
  ['an unknown escape', String.raw`root ::= "\q"`, /unknown escape/],
  ['half an escape', String.raw`root ::= "\x4"`, /2 hexadecimal digits/],
  ['a character that is none', String.raw`root ::= "\U00110000"`, /8 hexadecimal digits/],
  ['nothing to repeat', 'root ::= * "a"', /nothing stands here/],
  ['an empty repetition', 'root ::= ""*', /nothing stands here/],
  ['a repetition backwards', 'root ::= "a"{3,1}', /larger least than most/],
  ['a strange repetition', 'root ::= "a"{x}', /expected \{3\}/],
  ['a token', 'root ::= <[1000]>', /tokens are not supported/],
  ['rubbish behind a rule', 'root ::= "a" )', /expected the end of the line/],
])('%s is refused with its place', async (_, grammar, message) => {
  await expect(check(grammar)).rejects.toEqual(refusal(message));
});

const times = <T>(count: number, each: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => each(index));
const chain = (length: number, right: (next: string) => string, end: string) =>
  times(length, (index) => `${index === 0 ? 'root' : `n${index}`} ::= ${right(`n${index + 1}`)}\n`).join('') +
  `n${length} ::= ${end}`;

test.each<[string, string, RegExp]>([
  ['begins with itself', 'root ::= root "a" | "b"', /"root" begins with itself/],
  [
    'begins with itself behind what may be empty',
    'root ::= e e2 root "a" | "b"\ne ::= e2\ne2 ::= ""',
    /"root" begins with itself/,
  ],
  ['repeats what may be empty', 'root ::= ("a"? "b"?)*', /repeats what may be empty/],
  [
    'doubles its ways without a character',
    chain(40, (next) => `${next} "x" | ${next} "y"`, '"a"'),
    /choices at one place|lead to each other/,
  ],
  ['doubles empty rules', chain(40, (next) => `${next} ${next}`, '""'), /lead to each other/],
  ['is deep at its start', chain(500, (next) => `${next} "x"`, '"a"'), /deep at its start/],
  [
    'doubles with each character',
    'root ::= (a | b)*\na ::= [a-z] | "1"\nb ::= [a-z] | "2"',
    /more than 300 ways.*a text like/,
  ],
  ['doubles with each level', 'root ::= a | b | "x"\na ::= "(" root "]"\nb ::= "(" root ")"', /more than 50 ways/],
  ['may end at each level', 'root ::= "if " root ( "else " root )? | "x"', /more than 50 ways/],
  ['nests two ways at once', 'root ::= a | b\na ::= "(" a ")" | "1"\nb ::= "(" b ")" | "2"', /nest without end/],
  ['shares white space out among three', 'root ::= "a" [ ]* [ ]* [ ]* "b"', /more than 300 ways/],
  [
    'shares it out by twos, again and again',
    'root ::= ws "a" ws ( ws "," ws "a" ws )*\nws ::= [ \\t\\n]*',
    /"ws".*more than 300 ways/,
  ],
  ['lets long parts overlap', 'root ::= [a-z]{0,1000} [a-z]{0,1000} "!"', /more than 50 ways/],
  [
    'has sixty letters to choose from',
    `root ::= ${times(60, (index) => `"${String.fromCodePoint(0x400 + index)}"`).join(' | ')}`,
    /more than 50 choices/,
  ],
  ['repeats too often', 'root ::= "a"{1001}', /more than 1000 times/],
  ['repeats what is long', `root ::= "${'ab'.repeat(11)}"{1000}`, /symbols/],
  ['multiplies repeated repetitions', 'root ::= "a"{1000}{1000}{1000}', /symbols/],
  ['has too many rules', times(4100, (index) => `n${index} ::= "a"`).join('\n'), /more than 4000 rules/],
  ['has too many brackets', `root ::= ${'('.repeat(20_000)}"a"${')'.repeat(20_000)}`, /more than 64 brackets/],
])('what %s is refused', async (_, grammar, message) => {
  const startedMs = performance.now();
  await expect(check(grammar)).rejects.toEqual(refusal(message));
  expect(performance.now() - startedMs).toBeLessThan(2_000);
});

const shipped = join(import.meta.dirname, '../../../node_modules/node-llama-cpp/llama/grammars');
test.each(readdirSync(shipped).filter((file) => file.endsWith('.gbnf')))(
  "llama.cpp's own example %s is honoured",
  async (file) => {
    await expect(check(readFileSync(join(shipped, file), 'utf8'))).resolves.toContain('root ::= ');
  },
);

test.each<[string, string]>([
  ['400 names', `root ::= ${times(400, (index) => `"name ${index}"`).join(' | ')}`],
  ['alternatives that overlap', 'root ::= ([0-9] | [1-9] [0-9]+ | "0x" [0-9a-f]+ | [0-9]+ "." [0-9]+) ("," root)?'],
  ['a place where two rules take white space', 'root ::= ws "a" ws ( ws ",b" )?\nws ::= [ \t\n]*'],
  ['a long word', 'root ::= [a-z]{0,1000} "."'],
  ['brackets that mirror each other', 'root ::= "a" root "a" | "b" root "b" | "c"'],
  [
    'JSON',
    String.raw`root ::= value
value ::= "null" | "true" | "false" | number | string | "[" ws ( value ( "," ws value )* )? "]" ws | "{" ws ( string ":" ws value ( "," ws string ":" ws value )* )? "}" ws
string ::= "\"" ( [^"\\\x00-\x1f] | "\\" ["\\bfnrt/] )* "\"" ws
number ::= "-"? [0-9]+ ( "." [0-9]+ )? ws
ws ::= [ \t\n]*`,
  ],
])('%s are honoured', async (_, grammar) => {
  await expect(check(grammar)).resolves.toContain('root ::= ');
});

test('is checked once, refusals too, and forgotten when others come', async () => {
  const grammars = clientGrammars();
  const [good, bad] = [grammars('root ::= "a"'), grammars('root ::= b')];
  expect(grammars('root ::= "a"')).toBe(good);
  expect(grammars('root ::= b')).toBe(bad);
  await expect(bad).rejects.toEqual(refusal(/no rule "b"/));
  for (let other = 0; other < 32; other += 1) await grammars(`root ::= "${other}"`);
  expect(grammars('root ::= "a"')).not.toBe(good);
});
