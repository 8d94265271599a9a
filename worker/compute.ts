// Answers that a loaded model computes and does not generate: tokens of a text, and vectors.
import type { Embedding, Generation } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { embeddedInputs, fieldOf, gatherVectors } from './embed.ts';
import type { Kit } from './generate.ts';
import type { Model } from './models/catalog.ts';
import type { Use } from './models/waiters.ts';
import { embeddingsBody } from './replies/embeddings.ts';
import { wholeHeaders } from './replies/reply.ts';
import type { Answer } from './serve.ts';
import { nothingRan, rounded } from './spent.ts';
import { tokenize } from './tokenize.ts';

/** @throws as the engine does, and as residency does */
export async function compute(
  kit: Kit,
  model: Model,
  generation: Generation,
  signal: AbortSignal,
  acceptedMs: number,
): Promise<Answer> {
  const { tokenizing, embedding, keepAliveMs } = generation;
  using use = await kit.residency.use(model, keepAliveMs, signal);
  if (embedding) return await embed(kit, use, { generation, embedding, model, signal, acceptedMs });
  if (tokenizing === undefined) throw new Error('an endpoint without a reply has nothing to compute');
  const text = await tokenize(use.engine, tokenizing);
  return { headers: wholeHeaders, text, settlement: { ...nothingRan, finish: 'stop', loadMs: use.loadMs } };
}

interface Task {
  generation: Generation;
  embedding: Embedding;
  model: Model;
  signal: AbortSignal;
  acceptedMs: number;
}

async function embed({ watchdog, clock }: Kit, use: Use, task: Task): Promise<Answer> {
  const { generation, embedding, model, signal, acceptedMs } = task;
  const startedMs = clock.monotonic();
  const inputs = embeddedInputs(use.engine, embedding, fieldOf(embedding), signal);
  const { vectors, tokens } = await gatherVectors(watchdog.watch(model.name, use.engine, inputs), embedding);
  const times = { prefillMs: rounded(clock.monotonic() - startedMs), loadMs: rounded(use.loadMs) };
  const settlement: Settlement = { ...nothingRan, finish: 'stop', promptTokens: tokens, ...times };
  const ending = { nowMs: clock.now(), totalMs: clock.monotonic() - acceptedMs };
  const text = embeddingsBody(generation, embedding, vectors, settlement, ending);
  return { headers: wholeHeaders, text, settlement };
}
