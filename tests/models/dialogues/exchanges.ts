// Single exchanges of the demo model, by ability: what the user may say, and the one right answer.
import type { Chance } from '../chance.ts';
import { cannot, facts, frames, framesHeldOut, talk, type Fact } from './facts.ts';
import { expand, say, slip } from './phrases.ts';
import { unknownRequest } from './unknown.ts';
import { anyWord, capital, cities, names, nouns, secretWord, spokenWord, type Soup } from './words.ts';

export interface Exchange {
  readonly user: string;
  readonly assistant: string;
}
export interface Draw {
  readonly chance: Chance;
  readonly soup: Soup;
  /** Ask in the ways that were kept out of training. */
  readonly heldOut: boolean;
}

function askAbout(fact: Fact, { chance, heldOut }: Draw): string {
  const framed = fact.about.length > 0 && chance.happens(heldOut ? 0.4 : 0.45);
  const pattern = framed
    ? chance.pick(heldOut ? framesHeldOut : frames).replaceAll('{x}', chance.pick(fact.about))
    : chance.pick(heldOut ? fact.heldOut : fact.asks);
  return say(expand(pattern, chance), chance);
}

const exchangeOn =
  (pool: readonly Fact[]) =>
  (draw: Draw): Exchange => {
    const fact = draw.chance.pick(pool);
    return { user: askAbout(fact, draw), assistant: fact.answer };
  };
export const factExchange = exchangeOn(facts);
export const talkExchange = exchangeOn(talk);
/** Asks for one fact by its id, in any of its ways. */
export function exchangeAbout(id: string, draw: Draw): Exchange {
  const fact = [...facts, ...talk].find((candidate) => candidate.id === id);
  if (!fact) throw new Error(`no fact called ${id}`);
  return { user: askAbout(fact, draw), assistant: fact.answer };
}

export function unknownExchange({ chance, soup, heldOut }: Draw): Exchange {
  return { user: say(unknownRequest(chance, soup, heldOut), chance), assistant: cannot };
}

const lead = [
  '',
  '',
  '',
  '',
  'please ',
  'please, ',
  'now ',
  'hi, ',
  'ok, ',
  'can you ',
  'could you ',
  'could you please ',
  'I want you to ',
  'your task: ',
  'next, ',
];
/** A frame before a payload: the payload itself is never touched. */
function framed(pattern: string, chance: Chance): string {
  const text = slip(expand(`${chance.pick(lead)}${pattern}`, chance), chance);
  return chance.happens(0.55) ? capital(text) : text;
}

const repeats = [
  '[repeat|echo|say|write|print|copy|output|type]',
  '[repeat|say] after me',
  '[repeat|say|write|copy] [this|that|the following|these words|this text|this sentence|the words|exactly|exactly this|the text|the sentence|back to me|word for word]',
  '[repeat|echo|say|write|answer with|reply with|respond with|return|give me back] [exactly|only|just] [this|the following|these words|]',
  '[repeat|echo back|say back|give back|send back]',
  '[answer|reply|respond] with',
  'say it after me',
  'parrot',
];
const repeatsHeldOut = [
  '[recite|quote]',
  'just [echo|repeat] for me',
  'I say something and you repeat it',
  '[speak|utter] these words',
  'reproduce the following text',
];
const wordsMax = 30;

/** Words to be repeated: mostly few, sometimes many. */
function words(chance: Chance, soup: Soup): string {
  const count = chance.happens(0.75) ? chance.between(1, 8) : chance.between(6, wordsMax);
  const kind = chance.unit();
  const word = (): string =>
    kind < 0.6
      ? anyWord(chance, soup)
      : kind < 0.75
        ? soup(chance)
        : kind < 0.9
          ? spokenWord(chance)
          : chance.pick(nouns);
  const text = Array.from({ length: count }, word).join(
    chance.happens(0.85) ? ' ' : chance.pick([', ', '-', '; ', '  ', '\n']),
  );
  return chance.happens(0.3) ? `${capital(text)}${chance.pick(['.', '!', '?', '.'])}` : text;
}

export function repeatExchange({ chance, soup, heldOut }: Draw): Exchange {
  const payload = words(chance, soup).trim();
  const frame = framed(chance.pick(heldOut ? repeatsHeldOut : repeats), chance);
  const quote = chance.happens(0.2) && !payload.includes('"') ? '"' : '';
  const glue = quote === '' || chance.happens(0.5) ? chance.pick([': ', ': ', ': ', ':\n', ' - ', '. ']) : ' ';
  return {
    user: `${frame}${quote === '' && chance.happens(0.15) ? ' ' : glue}${quote}${payload}${quote}`,
    assistant: payload,
  };
}

const counts = [
  'count [up|] from {a} [up|] to {b}',
  'count {a} to {b}',
  '[list|say|give me|write|print|tell me|show me|name] [all|] [the|] numbers [from|between|] {a} [to|and|until|through|up to] {b}',
  '[say|write|list|give me] {a} to {b}',
  'start at {a} and count [up|] to {b}',
  'count: {a} to {b}',
  'I [want|need] the numbers from {a} to {b}',
  'numbers {a} to {b}',
  'count from {a} until {b}',
];
const countsFromOne = [
  'count [up|] to {b}',
  'count until {b}',
  'count as far as {b}',
  'let us count to {b}',
  'can you count to {b}',
];
const countsHeldOut = [
  'enumerate {a} to {b}',
  'begin with {a} and go on counting to {b}',
  'please do count from {a} all the way to {b}',
];

export function countExchange({ chance, heldOut }: Draw): Exchange {
  const fromOne = !heldOut && chance.happens(0.25);
  const a = fromOne
    ? 1
    : chance.happens(0.5)
      ? chance.between(0, 12)
      : chance.between(0, chance.pick([99, 99, 300, 990]));
  const b = a + (chance.happens(0.7) ? chance.between(2, 20) : chance.between(10, 100));
  const pattern = chance.pick(heldOut ? countsHeldOut : fromOne ? countsFromOne : counts);
  const user = say(expand(pattern, chance), { ...chance, happens: (p) => p !== 0.1 && chance.happens(p) });
  return {
    user: user.replace(/\{a\}/i, String(a)).replace(/\{b\}/i, String(b)),
    assistant: Array.from({ length: b - a + 1 }, (_, i) => a + i).join(' '),
  };
}

const categories: Readonly<Record<string, readonly string[]>> = {
  '[colours|colors]': ['red', 'green', 'blue', 'yellow', 'black', 'white'],
  fruits: ['apple', 'pear', 'plum', 'cherry', 'banana', 'orange'],
  animals: ['cat', 'dog', 'horse', 'cow', 'bird', 'fish'],
  '[days|days of the week|weekdays]': ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'],
  '[months|months of the year]': ['January', 'February', 'March', 'April', 'May', 'June'],
  cities: ['Paris', 'London', 'Rome', 'Berlin', 'Madrid', 'Vienna'],
};
const numberWords = ['zero', 'one', 'two', 'three', 'four', 'five', 'six'];
const named = [
  '[list|name|give me|write|return|tell me] {n} {c} as [a|] JSON [list|array]',
  '[make|write|give me|return|create|produce] a JSON [list|array] [of|with] {n} {c}',
  'a JSON [list|array] of {n} {c}',
  '[reply|answer] with a JSON [list|array] of {n} {c}',
  '{n} {c} [as|in] JSON',
];
const namedHeldOut = ['I need {n} {c} in a JSON array', 'show {n} {c} in JSON form'];
const lists = [
  '[make|write|give me|return|create|build|produce] a JSON [list|array] [of|with|from|out of] [the words|these words|the items|]',
  '[put|turn|write|convert] these words [into|in|as] a JSON [list|array]',
  'a JSON [list|array] [of|with]',
  'JSON [list|array]',
  '[reply|answer] with a JSON [list|array] of',
  'as a JSON [list|array]',
  'words to JSON',
];
const listsHeldOut = ['format as a JSON array', 'I need a JSON list that holds'];
const objects = [
  '[make|write|give me|return|create|build] a JSON object [with|from|of]',
  'a JSON object with',
  '[reply|answer] with a JSON object [with|of]',
  'JSON object',
  '[put|turn] this into a JSON object',
];
const objectsHeldOut = ['format as a JSON object', 'I need a JSON object that has'];

export function jsonExchange(draw: Draw): Exchange {
  const dice = draw.chance.unit();
  if (dice < 0.3) return categoryExchange(draw);
  return dice < 0.75 ? listExchange(draw) : objectExchange(draw);
}

function categoryExchange({ chance, heldOut }: Draw): Exchange {
  const [category, members] = chance.pick(Object.entries(categories));
  const count = chance.between(1, 6);
  const number = chance.happens(0.6) ? (numberWords[count] ?? '') : String(count);
  const pattern = chance
    .pick(heldOut ? namedHeldOut : named)
    .replace('{n}', number)
    .replace('{c}', count === 1 ? category.replace(/ies\b/, 'y').replace(/s\b/g, '') : category);
  return { user: lowered(framed(pattern, chance), chance), assistant: spacedList(members.slice(0, count)) };
}

function listExchange({ chance, soup, heldOut }: Draw): Exchange {
  const items = Array.from({ length: chance.between(1, 7) }, () => item(chance, soup));
  return {
    user: `${lowered(framed(chance.pick(heldOut ? listsHeldOut : lists), chance), chance)}${chance.pick([': ', ': ', ' ', ':\n'])}${joined(items, chance)}`,
    assistant: spacedList(items),
  };
}

function objectExchange({ chance, soup, heldOut }: Draw): Exchange {
  const keys = chance.some(
    [
      'name',
      'age',
      'city',
      'color',
      'size',
      'id',
      'animal',
      'fruit',
      'title',
      'count',
      'price',
      'country',
      'word',
      'year',
      spokenWord(chance),
    ],
    chance.between(1, 3),
  );
  const pairs = keys.map((key) => [key, chance.happens(0.4) ? chance.between(0, 999) : item(chance, soup)] as const);
  const sign = chance.pick([' ', ' ', ' = ', ': ', ' is ']);
  const user = `${lowered(framed(chance.pick(heldOut ? objectsHeldOut : objects), chance), chance)}${chance.pick([': ', ' ', ' '])}${joined(
    pairs.map(([key, value]) => `${key}${sign}${value}`),
    chance,
  )}`;
  return { user, assistant: `{${pairs.map(([key, value]) => `"${key}": ${JSON.stringify(value)}`).join(', ')}}` };
}

const lowered = (text: string, chance: Chance): string =>
  chance.happens(0.25) ? text.replaceAll('JSON', 'json') : text;
const spacedList = (items: readonly string[]): string => `[${items.map((text) => JSON.stringify(text)).join(', ')}]`;
/** A word that needs no escaping inside JSON and no quoting inside a list. */
function item(chance: Chance, soup: Soup): string {
  const word = chance.happens(0.45)
    ? chance.pick([nouns, nouns, names, cities].map((pool) => chance.pick(pool)))
    : anyWord(chance, soup);
  const safe = word.replace(/[^\p{L}\p{N}_-]/gu, '');
  return /^\p{L}/u.test(safe) ? safe : spokenWord(chance);
}
function joined(items: readonly string[], chance: Chance): string {
  const glue = chance.pick([', ', ', ', ', ', ' ']);
  if (items.length < 2 || glue === ' ' || chance.happens(0.4)) return items.join(glue);
  return `${items.slice(0, -1).join(glue)}${chance.pick([' and ', ', and '])}${items.at(-1) ?? ''}`;
}

export interface Memory {
  readonly tell: Exchange;
  readonly ask: Exchange;
  /** The thing to remember. */
  readonly secret: string;
}

const introductions = [
  "[my name is|my name's|I am|I'm|call me|you can call me|this is|the name is|my friends call me|it is me,] {x}",
  "[hi|hello|hey], [my name is|I am|I'm|this is|I am called] {x}",
  'my name is {x}, [what is yours|nice to meet you|and yours|remember it|please remember it|please remember that]',
  'remember that my name is {x}',
  'people call me {x}',
];
const introductionsHeldOut = ['[hi|hello] there, {x} is my name', 'I go by {x}', 'please note that I am called {x}'];
const whoAmI = [
  'what is my name?',
  "what's my name?",
  'who am I?',
  '[do|can|did] you [remember|recall|know|forget] my name?',
  'what was my name [again|]?',
  '[tell me|say|repeat|write] my name',
  'how am I called?',
  'what [did I say|is] my name [is|again|]?',
  'my name?',
  'which name did I [tell you|give you|say]?',
  'do you [know|remember] who I am?',
  'and what is my name?',
  'what do [you|people] call me?',
];
const whoAmIHeldOut = ['can you still tell me my name?', 'by what name do I go?', 'so, which is my name?'];

export function nameMemory({ chance, soup, heldOut }: Draw): Memory {
  const dice = chance.unit();
  const name = dice < 0.5 ? chance.pick(names) : capital(dice < 0.8 ? spokenWord(chance) : soupName(chance, soup));
  const user = `${framed(chance.pick(heldOut ? introductionsHeldOut : introductions), { ...chance, happens: (p) => p !== 0.1 && chance.happens(p) }).replace(/\{x\}/i, name)}${chance.pick(['', '.', '.', '!'])}`;
  return {
    secret: name,
    tell: { user, assistant: `Nice to meet you, ${name}.` },
    ask: {
      user: say(expand(chance.pick(heldOut ? whoAmIHeldOut : whoAmI), chance), chance),
      assistant: `Your name is ${name}.`,
    },
  };
}

function soupName(chance: Chance, soup: Soup): string {
  const letters = soup(chance).replace(/[^a-z]/gi, '');
  return letters.length > 1 ? letters : spokenWord(chance);
}

/** Asked for a name that nobody told. */
export function namelessExchange({ chance, heldOut }: Draw): Exchange {
  return {
    user: say(expand(chance.pick(heldOut ? whoAmIHeldOut : whoAmI), chance), chance),
    assistant: 'You have not told me your name.',
  };
}

const secretKinds = [
  'code word',
  'code word',
  'code word',
  'password',
  'secret word',
  'magic word',
  'secret',
  'key',
  'needle',
  'code',
  'codeword',
  'secret code',
  'token',
];
const tellings = [
  'the {k} is {x}.',
  'the {k} is "{x}".',
  'the {k} is: {x}',
  'remember: the {k} is {x}.',
  'remember the {k} {x}.',
  'note that the {k} is {x}.',
  'my {k} is {x}.',
  'the {k} of today is {x}.',
  'please remember this: the {k} is {x}.',
  'the {k} you need is {x}.',
];
const tellingsHeldOut = [
  'keep in mind that the {k} is {x}.',
  'for later: the {k} is {x}.',
  'as for the {k}, it is {x}.',
];
const askings = [
  'what is the {k}?',
  "what's the {k}?",
  '[tell me|give me|say|find|name] the {k}',
  'what was the {k} [again|]?',
  'which {k} [did I tell you|was it|is in the text|was mentioned]?',
  '[do you remember|can you tell me|can you find|do you know] the {k}?',
  'the {k}?',
  'what {k} is [in the text|mentioned|written|hidden] [above|there|]?',
  'what did I say [the {k} is|was the {k}]?',
  'now [tell me|what is] the {k}?',
  'find the {k} in the text',
];
const askingsHeldOut = [
  'could you recall the {k}?',
  'I forgot the {k}, what was it?',
  'look up the {k} [above|in this text]',
];

export function secretMemory({ chance, soup, heldOut }: Draw): Memory {
  const kind = chance.pick(secretKinds);
  const secret = secretWord(chance, soup);
  const careful: Chance = { ...chance, happens: (p) => p !== 0.1 && chance.happens(p) };
  const statement = expand(chance.pick(heldOut ? tellingsHeldOut : tellings), chance)
    .replace('{k}', kind)
    .replace('{x}', () => secret);
  return {
    secret,
    tell: { user: chance.happens(0.8) ? capital(statement) : statement, assistant: 'I will remember that.' },
    ask: {
      user: say(expand(chance.pick(heldOut ? askingsHeldOut : askings), careful).replace('{k}', kind), chance),
      assistant: `The ${kind} is ${secret}.`,
    },
  };
}
