// One token, or one vector: the question that only a server whose work goes on can answer.
import { Answered } from './client.ts';
import type { Client } from './client.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { explained } from './survey.ts';
import type { JoinedModel, Kind, Survey } from './survey.ts';

/** A prompt of one token on a server that has just been asked for nothing, or for one thing less than it can do at once. */
const canaryMs = 15_000;

/**
 * Asks the model that is likely to be loaded. A server that says nothing of what its only model can do is found out.
 * @param last the model that answered last, '' = none
 * @returns what the asked model can do, `null` = there was nothing to ask
 * @throws NotReached, Answered, or an Error that says what the server did not do
 */
export async function canary(client: Client, { kind, models }: Survey, last: string): Promise<Found | null> {
  const loaded = models.filter((model) => model.loaded);
  const model = loaded.find(({ name }) => name === last) ?? loaded[0];
  if (model === undefined) return null;
  const generates = model.capabilities.includes('completion');
  const [first, second] = generates ? [completion, embedding] : [embedding, null];
  try {
    await ask(client, first(kind, model));
    return { name: model.name, embeds: !generates };
  } catch (error) {
    if (second === null || !(error instanceof Answered) || !isUnfit(error)) throw explainedIf(error);
  }
  await ask(client, second(kind, model)).catch((error: unknown) => {
    throw explainedIf(error);
  });
  return { name: model.name, embeds: true };
}

interface Found {
  name: string;
  embeds: boolean;
}

type Question = [path: string, body: JsonObject];

function completion(kind: Kind, { id: model }: JoinedModel): Question {
  if (kind === 'ollama') {
    const options = { num_predict: 1 };
    return ['/api/generate', { model, prompt: 'a', raw: true, stream: false, options }];
  }
  if (kind === 'openai') {
    return ['/v1/chat/completions', { model, messages: [{ role: 'user', content: 'a' }], max_tokens: 1 }];
  }
  return ['/v1/completions', { model, prompt: 'a', max_tokens: 1 }];
}

function embedding(kind: Kind, { id: model }: JoinedModel): Question {
  return [kind === 'ollama' ? '/api/embed' : '/v1/embeddings', { model, input: 'a' }];
}

function ask(client: Client, [path, body]: Question): Promise<unknown> {
  return client.ask(path, { body, withinMs: canaryMs });
}

/** The question does not suit the model; a wrong key or a full server says nothing of that. */
function isUnfit({ status }: Answered): boolean {
  return [400, 404, 405, 422, 501].includes(status);
}

function explainedIf(error: unknown): unknown {
  return error instanceof Answered ? explained(error) : error;
}
