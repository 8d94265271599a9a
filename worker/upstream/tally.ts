// What a joined server's own words say of a request's cost and end. Pure.
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { rounded } from '../spent.ts';
import { number, object, text } from './listed.ts';

export interface Tally {
  /** A token has come. */
  readonly begun: boolean;
  /** The server said how it ended. */
  readonly ended: boolean;
  /** Reads one frame. @returns whether there is text, thinking or a call in it */
  read(frame: JsonObject): boolean;
  /** @param totalMs from acceptance to the end; @param ttftMs to the first token */
  settle(ttftMs: number, totalMs: number): Settlement;
}

interface Counts {
  promptTokens: number | null;
  cachedTokens: number;
  outputTokens: number | null;
  prefillMs: number | null;
  decodeMs: number | null;
  loadMs: number;
}

const unknown: Counts = {
  promptTokens: null,
  cachedTokens: 0,
  outputTokens: null,
  prefillMs: null,
  decodeMs: null,
  loadMs: 0,
};

/** Frames of OpenAI's chats and completions: the usage stands in the last one. */
export function tallyOpenai(): Tally {
  return tally((frame) => {
    const choices = (Array.isArray(frame['choices']) ? frame['choices'] : []).map(object);
    const finishes = choices.map(({ finish_reason: reason }) => text(reason)).filter((reason) => reason !== '');
    return {
      says: choices.some((choice) => speaks(object(choice['delta'])) || text(choice['text']) !== ''),
      finish: finishes.includes('length') ? 'length' : finishes.length > 0 ? 'stop' : null,
      counts: usageIn(frame),
    };
  });
}

const spoken = ['content', 'reasoning_content', 'reasoning', 'refusal', 'audio'] as const;

function speaks(delta: JsonObject): boolean {
  if (Array.isArray(delta['tool_calls']) && delta['tool_calls'].length > 0) return true;
  return spoken.some((part) => delta[part] !== undefined && delta[part] !== null && delta[part] !== '');
}

/** `timings` are llama-server's. */
function usageIn(frame: JsonObject): Partial<Counts> {
  const usage = object(frame['usage']);
  const timings = object(frame['timings']);
  return {
    ...given('promptTokens', usage['prompt_tokens']),
    ...given('outputTokens', usage['completion_tokens']),
    ...given('cachedTokens', object(usage['prompt_tokens_details'])['cached_tokens'] ?? timings['cache_n']),
    ...given('prefillMs', timings['prompt_ms']),
    ...given('decodeMs', timings['predicted_ms']),
  };
}

/** Lines of Ollama's chats and generations: counts and durations stand in the last one. */
export function tallyOllama(): Tally {
  return tally((line) => {
    const message = object(line['message']);
    const done = line['done'] === true;
    return {
      says:
        text(line['response']) !== '' ||
        text(line['thinking']) !== '' ||
        speaks({ ...message, reasoning: message['thinking'] }),
      finish: done ? (line['done_reason'] === 'length' ? 'length' : 'stop') : null,
      counts: done ? endIn(line) : {},
    };
  });
}

function endIn(line: JsonObject): Partial<Counts> {
  return {
    ...given('promptTokens', line['prompt_eval_count']),
    ...given('outputTokens', line['eval_count']),
    ...given('prefillMs', line['prompt_eval_duration'], 1e-6),
    ...given('decodeMs', line['eval_duration'], 1e-6),
    ...given('loadMs', line['load_duration'], 1e-6),
  };
}

function given(name: keyof Counts, value: unknown, scale = 1): Partial<Counts> {
  const read = number(value);
  return read === null ? {} : { [name]: read * scale };
}

interface Read {
  says: boolean;
  finish: 'stop' | 'length' | null;
  counts: Partial<Counts>;
}

/** Without a usage, which some servers do not tell, each frame with text counts as a token. */
function tally(read: (frame: JsonObject) => Read): Tally {
  let counts = unknown;
  let frames = 0;
  let finish: 'stop' | 'length' | null = null;
  return {
    get begun() {
      return frames > 0;
    },
    get ended() {
      return finish !== null;
    },
    read(frame) {
      const found = read(frame);
      counts = { ...counts, ...found.counts };
      if (finish !== 'length') finish = found.finish ?? finish;
      if (found.says) frames += 1;
      return found.says;
    },
    settle(ttftMs, totalMs) {
      const { promptTokens, cachedTokens, outputTokens, loadMs } = counts;
      return {
        finish: finish ?? 'stop',
        promptTokens: promptTokens ?? 0,
        cachedTokens,
        outputTokens: outputTokens ?? frames,
        ttftMs: rounded(ttftMs),
        prefillMs: rounded(counts.prefillMs ?? Math.max(0, ttftMs - loadMs)),
        decodeMs: rounded(counts.decodeMs ?? Math.max(0, totalMs - ttftMs)),
        loadMs: rounded(loadMs),
      };
    },
  };
}
