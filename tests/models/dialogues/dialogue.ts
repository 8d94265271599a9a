// Whole conversations of the demo model, drawn by chance: what it is trained on, and what it is examined with.
import { chanceFrom, type Chance } from '../chance.ts';
import type { Message, Tool } from './chat.ts';
import {
  countExchange,
  factExchange,
  jsonExchange,
  namelessExchange,
  nameMemory,
  repeatExchange,
  secretMemory,
  talkExchange,
  unknownExchange,
  type Draw,
  type Exchange,
  type Memory,
} from './exchanges.ts';
import { fillerSentences } from './filler.ts';
import { expand, say } from './phrases.ts';
import { toolTalk } from './tools.ts';
import { botNames, capital, noSoup, spokenWord, type Soup } from './words.ts';

export const abilities = [
  'talk',
  'facts',
  'unknown',
  'repeat',
  'count',
  'json',
  'needle',
  'memory',
  'name',
  'persona',
  'tools',
  'mixed',
] as const;
export type Ability = (typeof abilities)[number];

export interface Dialogue {
  readonly ability: Ability;
  readonly messages: readonly Message[];
  readonly tools: readonly Tool[];
}

/** How often each ability is trained, in parts. Copying needs the most practice, facts the most words. */
const parts: Readonly<Record<Ability, number>> = {
  talk: 5,
  facts: 24,
  unknown: 11,
  repeat: 13,
  count: 4,
  json: 6,
  needle: 9,
  memory: 5,
  name: 5,
  persona: 4,
  tools: 6,
  mixed: 8,
};

const singles: Partial<Record<Ability, (draw: Draw) => Exchange>> = {
  talk: talkExchange,
  facts: factExchange,
  unknown: unknownExchange,
  repeat: repeatExchange,
  count: countExchange,
  json: jsonExchange,
};

/** A conversation that practises one ability; its last message is the answer that matters. */
export function dialogueOf(ability: Ability, draw: Draw): Dialogue {
  if (ability === 'tools') return { ability, ...withPersona(toolTalk(draw), draw) };
  if (ability === 'persona') return { ability, messages: personaTalk(draw), tools: [] };
  if (ability === 'memory' && draw.chance.happens(0.2)) return { ability, messages: toldBySystem(draw), tools: [] };
  return { ability, messages: withSystem(talkOf(ability, draw).flatMap(messagesOf), draw), tools: [] };
}

export function trainingDialogue(seed: number, soup: Soup = noSoup): Dialogue {
  const chance = chanceFrom(seed);
  return dialogueOf(drawAbility(chance), { chance, soup, heldOut: false });
}

const copying: readonly Ability[] = ['repeat', 'repeat', 'repeat', 'repeat', 'name', 'memory', 'json'];
/** The first lessons: copying alone. Taught later, or amid facts from the start, it is hardly learnt. */
export function copyingDialogue(seed: number, soup: Soup = noSoup): Dialogue {
  const chance = chanceFrom(seed);
  return dialogueOf(chance.pick(copying), { chance, soup, heldOut: false });
}

function drawAbility(chance: Chance): Ability {
  let left = chance.unit() * Object.values(parts).reduce((sum, part) => sum + part, 0);
  return abilities.find((ability) => (left -= parts[ability]) < 0) ?? 'facts';
}

function talkOf(ability: Ability, draw: Draw): Exchange[] {
  const single = singles[ability];
  if (single) return [...(draw.chance.happens(0.1) ? between(draw, 1) : []), single(draw)];
  if (ability === 'needle') return [needle(draw)];
  if (ability === 'memory') return remembered(secretMemory(draw), draw);
  if (ability === 'name')
    return draw.chance.happens(0.12)
      ? [...between(draw, draw.chance.between(0, 1)), namelessExchange(draw)]
      : remembered(nameMemory(draw), draw);
  return between(draw, draw.chance.between(2, 5));
}

const messagesOf = (exchange: Exchange): Message[] => [
  { role: 'user', content: exchange.user },
  { role: 'assistant', content: exchange.assistant },
];

/** Other talk, as it comes between telling and asking. It is always asked in trained ways: it is not what is examined. */
function between(draw: Draw, count: number): Exchange[] {
  const trained = { ...draw, heldOut: false };
  return Array.from({ length: count }, () => {
    const exchange = draw.chance.pick([
      factExchange,
      factExchange,
      talkExchange,
      unknownExchange,
      repeatExchange,
      jsonExchange,
      countExchange,
    ])(trained);
    return exchange.assistant.length > 160 ? talkExchange(trained) : exchange;
  });
}

function remembered(memory: Memory, draw: Draw): Exchange[] {
  return [
    ...between(draw, draw.chance.pick([0, 0, 0, 1])),
    memory.tell,
    ...between(draw, draw.chance.pick([0, 0, 1, 1, 2, 3, 4])),
    memory.ask,
  ];
}

/** The system prompt holds the secret. */
function toldBySystem(draw: Draw): Message[] {
  const memory = secretMemory(draw);
  const lines = [
    ...(draw.chance.happens(0.5) ? [expand(draw.chance.pick(plainSystems), draw.chance)] : []),
    memory.tell.user,
  ];
  return [
    { role: 'system', content: lines.join(' ') },
    ...[...between(draw, draw.chance.pick([0, 0, 1, 2])), memory.ask].flatMap(messagesOf),
  ];
}

const headings = [
  '',
  '',
  '',
  'Read this text. ',
  'Here is a text. ',
  'Read: ',
  'Text:\n',
  'Read the text and answer.\n',
  'Context: ',
  'Find the needle. ',
];
/** Something told amid sentences that do not matter, and asked for in the same message. */
export function needle(draw: Draw, sentences = needleSentences(draw.chance)): Exchange {
  const { chance, soup } = draw;
  const memory = secretMemory(draw);
  const lines = fillerSentences(sentences, chance, soup);
  lines.splice(chance.between(0, lines.length), 0, memory.tell.user);
  const text = lines.join(chance.happens(0.8) ? ' ' : '\n');
  const glue = chance.pick([' ', '\n', '\n\n']);
  const asks = chance.happens(0.8)
    ? `${chance.pick(headings)}${text}${glue}${capital(memory.ask.user)}`
    : `${capital(memory.ask.user)}${glue}${text}`;
  return { user: asks, assistant: memory.ask.assistant };
}

/** Mostly a few, sometimes a few hundred words. */
function needleSentences(chance: Chance): number {
  const dice = chance.unit();
  if (dice < 0.6) return chance.between(0, 10);
  if (dice < 0.88) return chance.between(8, 32);
  return dice < 0.97 ? chance.between(30, 60) : chance.between(60, 110);
}

const plainSystems = [
  'You are a helpful assistant.',
  'You are a [friendly|kind|polite|careful|smart|useful] [assistant|helper|AI].',
  'Be [brief|kind|short|concise|honest|polite].',
  'Answer in [English|one sentence|short sentences].',
  'You are an AI assistant. [Be brief.|Answer truthfully.|Help the user.]',
  'Answer the [question|user].',
  'You help the team.',
];
/** Most conversations have no system prompt; the others must not be disturbed by one. */
function withSystem(messages: Message[], draw: Draw): Message[] {
  const dice = draw.chance.unit();
  if (dice < 0.62) return messages;
  return [
    {
      role: 'system',
      content:
        dice < 0.9
          ? expand(draw.chance.pick(plainSystems), draw.chance)
          : fillerSentences(draw.chance.between(1, 4), draw.chance, draw.soup).join(' '),
    },
    ...messages,
  ];
}

function withPersona(talk: { messages: Message[]; tools: Tool[] }, draw: Draw): { messages: Message[]; tools: Tool[] } {
  const other = draw.chance.happens(0.15) ? between(draw, 1).flatMap(messagesOf) : [];
  const instead = draw.chance.happens(0.1) && !draw.heldOut ? factOrTalk(draw) : talk.messages;
  return { tools: talk.tools, messages: withSystem([...other, ...instead], draw) };
}
const factOrTalk = (draw: Draw): Message[] =>
  messagesOf(draw.chance.pick([factExchange, talkExchange, repeatExchange])(draw));

const personas = [
  'you are {x}.',
  'your name is {x}.',
  'you are {x}, a [helpful|friendly|kind|polite|wise|old|funny] [assistant|robot|pirate|captain|teacher|guide|chef|wizard|bot|cat|sailor|AI assistant|helper].',
  'you are called {x}.',
  'your name is {x}. [Be brief.|Be kind.|Answer shortly.|You are a helpful assistant.]',
  'you are a helpful assistant called {x}.',
  'you are a [helpful assistant|bot|pirate|teacher], [your name is|named|and your name is] {x}.',
  'act as {x}.',
  'your name: {x}',
];
const personasHeldOut = [
  'from now on your name is {x}.',
  'play the part of {x}, an old sailor.',
  'the user knows you as {x}.',
];
const asksPersona = [
  'what is your name?',
  "what's your name?",
  'who are you?',
  'your name?',
  'how are you called?',
  'what are you called?',
  '[introduce yourself|tell me your name|say your name]',
  '[can|could] you tell me your name?',
  'who am I [talking|speaking] to?',
  'what should I call you?',
  'do you have a name?',
  'and you are?',
  'who is this?',
];
const asksPersonaHeldOut = ['may I know your name?', 'so who exactly are you?', 'with whom am I speaking?'];

/** A system prompt gives the model a name, and somebody asks for it. */
function personaTalk(draw: Draw): Message[] {
  const { chance, heldOut } = draw;
  const name = chance.happens(0.45)
    ? chance.pick(botNames)
    : capital(chance.happens(0.6) ? spokenWord(chance) : draw.soup(chance).replace(/[^a-z]/gi, '') || 'Nova');
  const before = chance.happens(0.2) ? `${expand(chance.pick(plainSystems), chance)} ` : '';
  const after = chance.happens(0.15) ? ` ${fillerSentences(chance.between(1, 3), chance, draw.soup).join(' ')}` : '';
  const system = `${before}${capital(expand(chance.pick(heldOut ? personasHeldOut : personas), chance)).replace('{x}', () => name)}${after}`;
  const ask = {
    user: say(expand(chance.pick(heldOut ? asksPersonaHeldOut : asksPersona), chance), chance),
    assistant: `My name is ${name}.`,
  };
  const other = between(draw, chance.pick([0, 0, 0, 1, 2])).filter(
    (exchange) => !exchange.assistant.startsWith('I am berth-demo'),
  );
  return [{ role: 'system', content: system }, ...[...other, ask].flatMap(messagesOf)];
}
