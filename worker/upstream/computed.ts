// Answers of a joined server that are no text of a model: vectors, tokens, and Ollama's empty prompt.
import { refuse } from '@berth/shared/dialects/check.ts';
import { lineJson } from '@berth/shared/dialects/json.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Embedding, Tokenizing } from '@berth/shared/request.ts';
import { fieldOf } from '../embed.ts';
import { reasonOf } from '../reason.ts';
import { embeddingsBody, shaped } from '../replies/embeddings.ts';
import { ollamaReply } from '../replies/ollama.ts';
import { wholeHeaders } from '../replies/reply.ts';
import { syntaxOf } from '../replies/tools/families.ts';
import type { Answer } from '../serve.ts';
import { nothingRan, rounded } from '../spent.ts';
import { textOf } from './client.ts';
import { parsed } from './failing.ts';
import { number, object } from './listed.ts';
import { heard } from './sending.ts';
import type { RelayKit, Sent } from './sending.ts';

/**
 * The vectors are asked for as numbers and written by us: servers differ in what they do with base64, dimensions and
 * lengths, and an OpenAI client that gets numbers for its base64 reads an empty vector.
 */
export async function embedded(kit: RelayKit, sent: Sent, embedding: Embedding): Promise<Answer> {
  const { kind, model, generation, exchange } = sent;
  const { inputs, truncate } = embedding;
  const startedMs = kit.clock.monotonic();
  const at = fieldOf(embedding);
  const tokensAt = inputs.findIndex((input) => typeof input !== 'string');
  if (kind === 'ollama' && tokensAt !== -1)
    refuse(at(tokensAt), 'must be text: an Ollama has this model, which takes no tokens');
  const input = inputs;
  const [path, body] =
    kind === 'ollama'
      ? ['/api/embed', { model: model.id, input, truncate, ...kept(sent.body) }]
      : ['/v1/embeddings', { model: model.id, input, encoding_format: 'float', ...cut(sent, truncate) }];
  const told = inputs.length === 0 ? {} : await askWhole(sent, path, body);
  const vectors = vectorsIn(told, inputs.length).map((vector) => shaped(Float32Array.from(vector), embedding));
  const tokens = number(object(told['usage'])['prompt_tokens']) ?? number(told['prompt_eval_count']) ?? 0;
  const prefillMs = rounded(kit.clock.monotonic() - startedMs);
  const settlement = { ...nothingRan, finish: 'stop', promptTokens: tokens, prefillMs, loadMs: 0 } as const;
  const ending = { nowMs: kit.clock.now(), totalMs: kit.clock.monotonic() - exchange.acceptedMs };
  return {
    headers: wholeHeaders,
    text: embeddingsBody(generation, embedding, vectors, settlement, ending),
    settlement,
  };
}

function kept({ keep_alive: keepAlive }: JsonObject): JsonObject {
  return keepAlive === undefined ? {} : { keep_alive: keepAlive };
}

/** vLLM cuts when it is told so; the others refuse what is too long, as OpenAI does. */
function cut({ kind }: Sent, truncate: boolean): JsonObject {
  return kind === 'vllm' && truncate ? { truncate_prompt_tokens: -1 } : {};
}

function vectorsIn(told: JsonObject, count: number): number[][] {
  const listed = Array.isArray(told['data'])
    ? told['data'].map(object).toSorted((a, b) => Number(a['index'] ?? 0) - Number(b['index'] ?? 0))
    : null;
  const vectors = listed?.map(({ embedding }) => embedding) ?? told['embeddings'] ?? [];
  const isVector = (vector: unknown): vector is number[] =>
    Array.isArray(vector) && vector.every((value) => typeof value === 'number');
  if (Array.isArray(vectors) && vectors.length === count && vectors.every(isVector)) return vectors;
  throw new Refusal('worker_failed', 'the joined server answered with something else than a vector for each input');
}

/** llama-server's bodies, which vLLM has in words of its own. */
export async function tokenized(_kit: RelayKit, sent: Sent, task: Tokenizing): Promise<Answer> {
  const { kind, model } = sent;
  const settlement = { ...nothingRan, finish: 'stop', loadMs: 0 } as const;
  const answer = (text: string): Answer => ({ headers: wholeHeaders, text, settlement });
  if (kind === 'llama-server') {
    const { model: _model, ...body } = sent.body;
    return answer(lineJson(await askWhole(sent, sent.path, body)));
  }
  if (kind !== 'vllm') {
    refuse('model', 'is on a joined server that tells no tokens');
  }
  if (task.kind === 'detokenize') {
    const told = await askWhole(sent, '/detokenize', { model: model.id, tokens: task.tokens });
    return answer(lineJson({ content: told['prompt'] ?? '' }));
  }
  if (task.pieces) refuse('with_pieces', 'is not supported: a vLLM has this model, which does not tell them');
  const told = await askWhole(sent, '/tokenize', {
    model: model.id,
    prompt: task.text,
    add_special_tokens: task.first,
  });
  return answer(lineJson({ tokens: told['tokens'] ?? [] }));
}

/**
 * An Ollama loads and unloads as its own clients ask it to. Elsewhere the model is loaded for good: there is nothing to
 * load, and to unload it would be a lie.
 */
export async function loadOnly(kit: RelayKit, sent: Sent): Promise<Answer> {
  const { kind, model, generation, exchange, body } = sent;
  const finish = generation.keepAliveMs === 0 ? 'unload' : 'load';
  const startedMs = kit.clock.monotonic();
  if (kind !== 'ollama' && finish === 'unload') refuse('keep_alive', 'cannot be 0: this model is loaded for good');
  if (kind === 'ollama') {
    await askWhole(sent, sent.path, { ...body, model: model.id, stream: false, options: undefined });
    await kit.shelf.look().catch(() => undefined);
  }
  const settlement = { ...nothingRan, finish, loadMs: rounded(kit.clock.monotonic() - startedMs) } as const;
  const context = { id: '', createdMs: kit.clock.now(), thoughts: null, syntax: syntaxOf(null) };
  const ending = { nowMs: kit.clock.now(), totalMs: kit.clock.monotonic() - exchange.acceptedMs };
  const text = ollamaReply({ ...generation, stream: true }, context).end(settlement, ending);
  return { headers: generation.stream ? ollama.streamHeaders : wholeHeaders, text, settlement };
}

/** @throws Refusal `worker_failed` for an answer that is no JSON object */
async function askWhole(sent: Sent, path: string, body: JsonObject): Promise<JsonObject> {
  const reply = await sent.ask(path, body);
  const text = await textOf(heard(reply.body, sent.heard), Infinity).catch((error: unknown) => {
    sent.signal.throwIfAborted();
    if (error instanceof Refusal) throw error;
    throw new Refusal('worker_failed', `the joined server broke off: ${reasonOf(error)}`);
  });
  const value = parsed(text);
  if (value === null) throw new Refusal('worker_failed', 'the joined server answered with something that is not JSON');
  return value;
}
