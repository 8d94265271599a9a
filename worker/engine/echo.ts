// An engine without a model: it echoes the last user message, and fails on command. For tests and fault injection.
import type { Clock } from '@berth/shared/clock.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Prompt, Tokenizing } from '@berth/shared/request.ts';
import { linked } from '../abort.ts';
import { EngineDied } from './engine.ts';
import type {
  EmbedInput,
  Embedded,
  Engine,
  EngineEvent,
  EngineOptions,
  EngineRequest,
  EngineStep,
  OpenEngine,
  TokenScore,
  Tokenized,
} from './engine.ts';

/** What an echo engine does. A request overrides it in its text: `[[tokenDelayMs=20 dieAfterTokens=3]] hello`. */
export interface EchoScript {
  loadDelayMs: number;
  /** Message of the `load_failed` refusal; `null` = the load works. */
  loadFails: string | null;
  prefillDelayMs: number;
  tokenDelayMs: number;
  /** The whole engine dies when a request has given this many tokens. */
  dieAfterTokens: number;
  /** A request stops making progress after this many tokens, until it is aborted. */
  hangAfterTokens: number;
  /** The message is echoed this many times. */
  repeat: number;
}

const embeddedLength = 16;

const harmless: EchoScript = {
  loadDelayMs: 0,
  loadFails: null,
  prefillDelayMs: 0,
  tokenDelayMs: 0,
  dieAfterTokens: Infinity,
  hangAfterTokens: Infinity,
  repeat: 1,
};

export interface EchoEngines {
  open: OpenEngine;
  /** The most requests that ever ran at once in one engine. */
  readonly runningMax: number;
  /** Engines that are open now. */
  readonly openNow: number;
  /** Every engine that is open dies at once, as by `kill -9`. */
  kill(): void;
}

/** A source of echo engines; a token is a word with the white space behind it. */
export function echoEngines(clock: Clock, script: Partial<EchoScript> = {}): EchoEngines {
  const usual = { ...harmless, ...script };
  const alive = new Set<(reason: string) => void>();
  const seen = { runningMax: 0 };
  return {
    open: async (options, signal) => {
      await pause(clock, usual.loadDelayMs, signal);
      if (usual.loadFails !== null) throw new Refusal('load_failed', usual.loadFails);
      return openEcho(clock, usual, options, alive, seen);
    },
    get runningMax() {
      return seen.runningMax;
    },
    get openNow() {
      return alive.size;
    },
    kill: () => [...alive].forEach((die) => die('the echo engine was killed')),
  };
}

function openEcho(
  clock: Clock,
  usual: EchoScript,
  options: EngineOptions,
  alive: Set<(reason: string) => void>,
  seen: { runningMax: number },
): Engine {
  const death = new AbortController();
  const died = Promise.withResolvers<EngineDied>();
  const slots = countedSlots(options.slots);
  let steps = 0;
  let hear = (_step: EngineStep): void => {};
  const stepped = (ms: number, decoded: number, prefilled: number): void => {
    steps += 1;
    hear({ ms, decoded, prefilled });
  };
  const die = (reason: string): void => {
    alive.delete(die);
    const why = new EngineDied(reason);
    death.abort(why);
    died.resolve(why);
  };
  alive.add(die);

  async function* generate(request: EngineRequest, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    using both = linked([signal, death.signal]);
    const either = both.signal;
    const { script, tokens, promptTokens } = read(request, usual);
    const context = Math.min(options.contextTokens, request.contextMax ?? Infinity);
    if (promptTokens >= context) throw tooLong(promptTokens, context);
    using _slot = await slots.take(either);
    seen.runningMax = Math.max(seen.runningMax, slots.taken());
    const startedAt = clock.monotonic();
    await pause(clock, script.prefillDelayMs, either);
    const prefilledAt = clock.monotonic();
    stepped(prefilledAt - startedAt, 0, promptTokens);
    yield { kind: 'started', promptTokens, cachedTokens: 0 };
    const bound = Math.min(tokens.length, request.maxTokens ?? Infinity, context - promptTokens);
    for (let index = 0; index < bound; index += 1) {
      const before = clock.monotonic();
      if (index >= script.hangAfterTokens) await pause(clock, Infinity, either);
      await pause(clock, script.tokenDelayMs, either);
      if (index >= script.dieAfterTokens) die('the echo engine died as its script says');
      either.throwIfAborted();
      stepped(clock.monotonic() - before, 1, 0);
      yield { kind: 'text', text: tokens[index] ?? '', tokens: 1, ...scoresOf(tokens[index] ?? '', request) };
    }
    const prefillMs = prefilledAt - startedAt;
    const usage = {
      promptTokens,
      cachedTokens: 0,
      outputTokens: bound,
      prefillMs,
      decodeMs: clock.monotonic() - prefilledAt,
    };
    yield { kind: 'end', finish: bound < tokens.length ? 'length' : 'stop', usage };
  }

  return {
    info: { contextTokens: options.contextTokens, slots: options.slots, vramBytes: 0, memoryBytes: 0 },
    pid: null,
    steps: () => steps,
    onStep: (listener) => void (hear = listener),
    generate,
    tokenize: async (task) => tokenized(task),
    embed: async (input) => {
      const before = clock.monotonic();
      await pause(clock, usual.prefillDelayMs, death.signal);
      const vector = embedded(input, options.contextTokens);
      stepped(clock.monotonic() - before, 0, vector.tokens);
      return vector;
    },
    useThreads: () => {},
    died: died.promise,
    [Symbol.asyncDispose]: async () => {
      alive.delete(die);
      death.abort(new EngineDied('the engine was closed'));
    },
  };
}

/** The script, the tokens to echo up to the first stop string, and the prompt's length. */
function read(
  request: EngineRequest,
  usual: EchoScript,
): { script: EchoScript; tokens: string[]; promptTokens: number } {
  const said = lastWords(request.prompt);
  const directive = /^\[\[([^\]]*)\]\]\s*/.exec(said);
  const script = { ...usual, ...directives(directive?.[1] ?? '') };
  const echoed = said.slice(directive?.[0].length ?? 0).repeat(script.repeat);
  const ends = request.stop.map((stop) => echoed.indexOf(stop)).filter((at) => at >= 0);
  const tokens = words(echoed.slice(0, Math.min(echoed.length, ...ends)));
  return { script, tokens, promptTokens: Math.max(1, words(allWords(request.prompt)).length) };
}

/** An echo is certain of what it says. */
function scoresOf(token: string, { topLogprobs }: EngineRequest): { scores?: TokenScore[] } {
  if (topLogprobs === undefined) return {};
  const score = { token, logprob: 0, bytes: Array.from(Buffer.from(token)) };
  return { scores: [{ ...score, top: topLogprobs > 0 ? [score] : [] }] };
}

function directives(text: string): Partial<EchoScript> {
  const pairs = text.split(/\s+/).map((pair) => pair.split('='));
  const known = pairs.filter(([name]) => name !== undefined && name in harmless && name !== 'loadFails');
  return Object.fromEntries(known.map(([name, value]) => [name, Number(value)]));
}

function lastWords(prompt: Prompt): string {
  if (prompt.kind === 'tokens') return spelled(prompt.tokens);
  if (prompt.kind === 'infill') return prompt.before;
  return prompt.kind === 'raw' ? prompt.text : (prompt.messages.findLast(({ role }) => role === 'user')?.content ?? '');
}

function allWords(prompt: Prompt): string {
  if (prompt.kind === 'tokens') return spelled(prompt.tokens);
  if (prompt.kind === 'infill') return `${prompt.before} ${prompt.after}`;
  return prompt.kind === 'raw' ? prompt.text : prompt.messages.map(({ content }) => content).join(' ');
}

/** As ids, tokens are characters here. */
/** Texts with the same words have the same vector. */
function embedded({ input, truncate, at }: EmbedInput, contextTokens: number): Embedded {
  const tokens = typeof input === 'string' ? words(input) : input.map(String);
  if (tokens.length > contextTokens && !truncate) {
    const message = `${at} has ${tokens.length} tokens, more than the context length of ${contextTokens}`;
    throw new Refusal('context_exceeded', message, { param: at });
  }
  const vector = new Float32Array(embeddedLength);
  for (const token of tokens.slice(0, contextTokens)) {
    const place = Array.from(token.trim()).reduce((sum, letter) => sum + letter.codePointAt(0)!, 0) % embeddedLength;
    vector[place] = vector[place]! + 1;
  }
  return { vector, tokens: Math.min(tokens.length, contextTokens) };
}

function tokenized(task: Tokenizing): Tokenized {
  if (task.kind === 'detokenize') return { tokens: task.tokens, text: spelled(task.tokens) };
  const pieces = Array.from(task.text);
  const tokens = pieces.map((character) => character.codePointAt(0) ?? 0);
  return { tokens, text: task.text, ...(task.pieces && { pieces }) };
}

function spelled(tokens: readonly number[]): string {
  const stray = tokens.find((token) => token > 0x10ffff);
  if (stray !== undefined) throw new Refusal('bad_request', `there is no token ${stray}`, { param: 'tokens' });
  return tokens.map((token) => String.fromCodePoint(token)).join('');
}

function words(text: string): string[] {
  return text.match(/\s*\S+\s*|\s+/g) ?? [];
}

function tooLong(promptTokens: number, contextTokens: number): Refusal {
  return new Refusal('context_exceeded', `the prompt has ${promptTokens} tokens, the context is ${contextTokens}`);
}

/** First come, first served, at most `count` at once. */
function countedSlots(count: number): { take(signal: AbortSignal): Promise<Disposable>; taken(): number } {
  const waiting: (() => void)[] = [];
  let taken = 0;
  const giveBack = (): void => {
    const next = waiting.shift();
    if (next) next();
    else taken -= 1;
  };
  return {
    taken: () => taken,
    take: async (signal) => {
      signal.throwIfAborted();
      if (taken < count) taken += 1;
      else await turn(waiting, signal);
      return { [Symbol.dispose]: giveBack };
    },
  };
}

function turn(waiting: (() => void)[], signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => {
      waiting.splice(waiting.indexOf(go), 1);
      reject(signal.reason);
    };
    const go = (): void => {
      signal.removeEventListener('abort', gone);
      resolve();
    };
    waiting.push(go);
    signal.addEventListener('abort', gone, { once: true });
  });
}

/** Resolves after `delayMs` (`Infinity` = never), or rejects with the signal's reason. */
async function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (delayMs <= 0) return;
  const done = Promise.withResolvers<void>();
  using _timer = Number.isFinite(delayMs) ? clock.after(delayMs, done.resolve) : null;
  const gone = (): void => done.reject(signal.reason);
  signal.addEventListener('abort', gone, { once: true });
  try {
    await done.promise;
  } finally {
    signal.removeEventListener('abort', gone);
  }
}
