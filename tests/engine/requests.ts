// The smallest valid requests for an engine, and a reader for its answers.
import type { Engine, EngineEvent, EngineOptions, EngineRequest } from '../../worker/engine/engine.ts';

export const someOptions: EngineOptions = { path: '', contextTokens: 2048, slots: 4, threads: 1, gpu: false };

export const plainSampling: EngineRequest['sampling'] = {
  temperature: 0,
  topK: null,
  topP: null,
  minP: null,
  repeatPenalty: null,
  repeatLastN: null,
  presencePenalty: null,
  frequencyPenalty: null,
  seed: 7,
};

/** A greedy chat request with one user message. */
export function aRequest(text: string, more: Partial<EngineRequest> = {}): EngineRequest {
  return {
    prompt: { kind: 'chat', messages: [{ role: 'user', content: text }], tools: [] },
    sampling: plainSampling,
    maxTokens: null,
    stop: [],
    format: { kind: 'text' },
    cacheScope: 'team',
    ...more,
  };
}

/** Like `aRequest`, without a chat template. */
export function aRawRequest(text: string, more: Partial<EngineRequest> = {}): EngineRequest {
  return aRequest('', { prompt: { kind: 'raw', text }, ...more });
}

export const unaborted = (): AbortSignal => new AbortController().signal;

export interface Answer {
  started: Extract<EngineEvent, { kind: 'started' }>;
  pieces: string[];
  text: string;
  end: Extract<EngineEvent, { kind: 'end' }>;
}

/** Reads one answer to its end and checks the order of its events. */
export async function collect(engine: Engine, request: EngineRequest, signal = unaborted()): Promise<Answer> {
  const events: EngineEvent[] = [];
  for await (const event of engine.generate(request, signal)) events.push(event);
  const [started, ...rest] = events;
  const end = rest.pop();
  if (started?.kind !== 'started' || end?.kind !== 'end') throw new Error('an answer needs a start and an end');
  const pieces = rest.map((event) => {
    if (event.kind !== 'text' || event.text === '') throw new Error('between start and end there is only text');
    return event.text;
  });
  return { started, pieces, text: pieces.join(''), end };
}
