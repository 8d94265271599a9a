// Bounds what following a grammar costs. llama.cpp keeps every reading of the text so far as a stack of places, tries
// each on the vocabulary, and walks a token in as many ways as it can be read. This walks the same stacks, over all
// texts at once, before the engine does. Pure.
import { choices } from './gbnf-factor.ts';
import { refusedGrammar } from './gbnf-reader.ts';
import type { Characters, Grammar } from './gbnf-reader.ts';
import { type Place, type Stack, startFinder, framesBelow, placesOf } from './gbnf-places.ts';

const bounds = {
  /** Readings that are open at once: each is tried on the whole vocabulary. */
  openMax: 50,
  /** Ways to read one token: two rules that share out its characters have one more with each of them. */
  waysMax: 300,
  /** Characters of a token that could hold anything: longer words are few. */
  wordCharsMax: 32,
  /** The longest runs of one character that vocabularies have, which is most often a space. */
  runCharsMax: 128,
  /** Places of one stack above what all stacks have in common. */
  heightMax: 100,
  /** Stacks that are moved on by a character before the check gives up: a second of work or so. */
  movesMax: 200_000,
};
/** Moves between two pauses: a few milliseconds. */
const movesPerTurn = 400;

interface Reading {
  /** Without what lies below all the readings of its moment; the last is a place of characters. */
  stack: Stack;
  /** In how many ways the token so far leads here. */
  ways: number;
}
type Readings = ReadonlyMap<string, Reading>;

interface Moment {
  readings: Readings;
  /** The end of a text that may have led there. */
  text: string;
  /** Characters of it that are of one token. */
  chars: number;
  /** All these characters are one and the same out of these; `null` = they may differ. */
  run: Characters | null;
}

/**
 * Every set of readings that some text leads to is met once. What lies below all readings of a set is left away, and
 * when they come back to it, everything is tried that the grammar could have there.
 *
 * @param pause lets others work
 * @throws Refusal `bad_request` that names the rules
 */
export async function boundReadings(grammar: Grammar, pause: () => Promise<void>): Promise<void> {
  const places = placesOf(grammar);
  const startsOf = startFinder(places);
  const below = framesBelow(places);
  /** By the number of the token's characters, the fewest first. */
  const queues: Moment[][] = Array.from({ length: bounds.runCharsMax }, () => []);
  const fewest = new Map<string, number>();
  let moves = 0;

  function meet(moment: Moment): void {
    const { readings, text } = moment;
    if (readings.size === 0) return;
    checkCount(readings, text);
    const all = [...readings.values()];
    if (all.every(({ ways }) => ways === 1)) return queue({ ...moment, chars: 0, run: null });
    queue(moment);
    if (moment.run !== null) queue({ ...moment, run: null });
    // A new token may begin anywhere.
    queue({ readings: readingsOf(all.map(({ stack }) => ({ stack, ways: 1 }))), text, chars: 0, run: null });
  }

  function queue(moment: Moment): void {
    const { readings, chars, run } = moment;
    const { wordCharsMax, runCharsMax } = bounds;
    if (chars >= (run === null ? wordCharsMax : runCharsMax)) return;
    const stacks = Array.from(readings, ([stack, { ways }]) => `${stack}*${ways}`).toSorted();
    const key = `${stacks.join(';')} ${run?.join() ?? ''}`;
    if ((fewest.get(key) ?? Infinity) <= chars) return;
    fewest.set(key, chars);
    queues[chars]!.push(moment);
  }

  function checkCount(readings: Readings, text: string): void {
    const ways = readings.values().reduce((sum, each) => sum + each.ways, 0);
    const after = text === '' ? 'at the beginning' : `after a text like ${JSON.stringify(text)}`;
    const where = `${namesOf(readings)} can be read in more than`;
    if (readings.size > bounds.openMax)
      throw refusedGrammar(`${where} ${bounds.openMax} ways at once, ${after}: let alternatives begin differently`);
    if (ways > bounds.waysMax)
      throw refusedGrammar(
        `${where} ${bounds.waysMax} ways at once, ${after}: say once only what may repeat, such as white space`,
      );
    if (readings.values().some(({ stack }) => stack.length > bounds.heightMax))
      throw refusedGrammar(
        `${namesOf(readings)} can be read in several ways that nest without end, ${after}: let alternatives begin differently`,
      );
  }

  function namesOf(readings: Readings): string {
    const names = new Set(readings.values().map(({ stack }) => places.nameOf(stack.at(-1) ?? 0)));
    const quoted = [...names].slice(0, 3).map((name) => `"${name}"`);
    return `${quoted.length === 1 ? 'the rule' : 'the rules'} ${quoted.join(', ')}`;
  }

  /** What follows `place`, and then what is below it. `popped`: all of the stack may be done with. */
  function onwards(stack: Stack, place: Place): { stacks: Stack[]; popped: boolean } {
    const { stacks, mayBeEmpty } = startsOf(place);
    const above = stack.length === 0 ? stacks : stacks.map((start) => [...stack, ...start]);
    const next = stack.at(-1);
    if (!mayBeEmpty || next === undefined) return { stacks: above, popped: mayBeEmpty };
    const rest = onwards(stack.slice(0, -1), next);
    return { stacks: [...above, ...rest.stacks], popped: rest.popped };
  }

  /** The readings that took a character go on. */
  function move(taken: readonly Reading[], moment: Omit<Moment, 'readings'>): void {
    const next = new Map<string, Reading>();
    let popped = 0;
    for (const { stack, ways } of taken) {
      const found = onwards(stack.slice(0, -1), (stack.at(-1) ?? 0) + 1);
      if (found.popped) popped += ways;
      addAll(next, found.stacks, ways);
    }
    if (popped === 0) return meet({ ...moment, readings: withoutCommon(next) });
    const [first, ...others] = taken.map(({ stack }) => below(places.ruleOf(stack[0] ?? 0)));
    const frames = [...(first ?? [])].filter((frame) => others.every((set) => set.has(frame)));
    goBelow(next, popped, frames, moment, 0);
  }

  /** @param frames of which one lies below all readings; `null` = nothing does @param ways that have come down to it */
  function goBelow(
    readings: Readings,
    ways: number,
    frames: Iterable<Place | null>,
    moment: Omit<Moment, 'readings'>,
    depth: number,
  ): void {
    checkCount(readings, moment.text);
    if (depth > bounds.heightMax) throw refusedGrammar('too many rules that may be empty follow each other');
    for (const frame of frames) {
      if (frame === null) {
        meet({ ...moment, readings: withoutCommon(readings) });
        continue;
      }
      const next = readingsOf(Array.from(readings.values(), (each) => ({ ...each, stack: [frame, ...each.stack] })));
      const { stacks, popped } = onwards([], frame);
      addAll(next, stacks, ways);
      if (popped) goBelow(next, ways, below(places.ruleOf(frame)), moment, depth + 1);
      else meet({ ...moment, readings: withoutCommon(next) });
    }
  }

  /** One reading that goes on to the same stack by two alternatives counts once: so it does in llama.cpp. */
  function addAll(readings: Map<string, Reading>, stacks: readonly Stack[], ways: number): void {
    const own = new Map(stacks.map((stack) => [stack.join(), stack]));
    moves += own.size + 1;
    for (const [key, stack] of own) readings.set(key, { stack, ways: (readings.get(key)?.ways ?? 0) + ways });
  }

  function expand({ readings, text, chars, run }: Moment): void {
    const all = [...readings.values()];
    const classes = all.map(({ stack }) => places.charactersAt(stack.at(-1) ?? 0));
    moves += classes.reduce((sum, ranges) => sum + ranges.length, 0);
    for (const { members, characters } of choices(classes, run)) {
      const taken = members.map((index) => all[index]!);
      const character = String.fromCodePoint(characters[0]?.[0] ?? 0);
      const next = { text: `${text}${character}`.slice(-16), chars: chars + 1 };
      move(taken, { ...next, run: run !== null || chars === 0 ? characters : null });
    }
  }

  // llama.cpp looks for left recursion from every place, also from those that no text leads to.
  for (let place = 0; place < places.count; place += 1) startsOf(place);
  const start = onwards([], places.start);
  meet({ readings: readingsOf(start.stacks.map((stack) => ({ stack, ways: 1 }))), text: '', chars: 0, run: null });
  let pausedAt = 0;
  for (let next = shift(queues); next !== undefined; next = shift(queues)) {
    expand(next);
    if (moves > bounds.movesMax)
      throw refusedGrammar(`it is too large for a check of what it costs, mostly because of ${namesOf(next.readings)}`);
    if (moves - pausedAt < movesPerTurn) continue;
    pausedAt = moves;
    await pause();
  }
}

function shift(queues: readonly Moment[][]): Moment | undefined {
  return queues.find((queue) => queue.length > 0)?.pop();
}

function readingsOf(readings: readonly Reading[]): Map<string, Reading> {
  return new Map(readings.map((reading) => [reading.stack.join(), reading]));
}

/** Leaves away what lies below all of them. */
function withoutCommon(readings: Readings): Readings {
  const all = [...readings.values()];
  const [first] = all;
  if (first === undefined) return readings;
  let common = 0;
  while (all.every(({ stack }) => stack.length > common + 1 && stack[common] === first.stack[common])) common += 1;
  return common === 0 ? readings : readingsOf(all.map(({ stack, ways }) => ({ stack: stack.slice(common), ways })));
}
