// Whether what passed a tap is what the published descriptions say: bodies, and each event of a stream.
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { root } from './berth.ts';
import { loadClient } from './clients.ts';
import type { Tapped } from './tap.ts';

/** The descriptions stay outside the project, beside the checkout. */
const specs = resolve(root, '../shared/specs');
const files = { openai: resolve(specs, 'openai.json'), ollama: resolve(specs, 'ollama.yaml') };

interface Validator {
  (value: unknown): boolean;
  errors?: { instancePath: string; message?: string }[] | null;
}

interface Ajv {
  addSchema(schema: object, key: string): Ajv;
  getSchema(key: string): Validator | undefined;
}

type Family = keyof typeof files;

/** Schemas of each route's success: the body, and one event of its stream. */
const schemas: readonly [path: RegExp, family: Family, body: string, event?: string][] = [
  [/^(\/v1)?\/chat\/completions$/, 'openai', 'CreateChatCompletionResponse', 'CreateChatCompletionStreamResponse'],
  [/^(\/v1)?\/completions$/, 'openai', 'CreateCompletionResponse', 'CreateCompletionResponse'],
  [/^(\/v1)?\/embeddings$/, 'openai', 'CreateEmbeddingResponse'],
  [/^(\/v1)?\/models$/, 'openai', 'ListModelsResponse'],
  [/^(\/v1)?\/models\/.+$/, 'openai', 'Model'],
  [/^\/api\/chat$/, 'ollama', 'ChatResponse', 'ChatStreamEvent'],
  [/^\/api\/generate$/, 'ollama', 'GenerateResponse', 'GenerateStreamEvent'],
  [/^\/api\/embed$/, 'ollama', 'EmbedResponse'],
  [/^\/api\/tags$/, 'ollama', 'ListResponse'],
  [/^\/api\/ps$/, 'ollama', 'PsResponse'],
  [/^\/api\/show$/, 'ollama', 'ShowResponse'],
  [/^\/api\/pull$/, 'ollama', 'StatusResponse', 'StatusEvent'],
  [/^\/api\/version$/, 'ollama', 'VersionResponse'],
];

/** Checks answers; `null`, after a word on the terminal, where the descriptions are not there. */
export function openValidity(): ((answer: Tapped) => string[]) | null {
  const missing = Object.values(files).filter((file) => !existsSync(file));
  if (missing.length > 0) {
    console.log(`skipped: ${missing.join(', ')} not there, so answers are not held to the published descriptions`);
    return null;
  }
  const { default: Ajv2020 }: { default: new (options: object) => Ajv } = loadClient('ajv/dist/2020.js');
  const yaml: { parse(text: string): object } = loadClient('yaml');
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true, logger: false });
  ajv.addSchema(JSON.parse(readFileSync(files.openai, 'utf8'), nullableToo) as object, 'openai');
  ajv.addSchema(yaml.parse(readFileSync(files.ollama, 'utf8')), 'ollama');
  return (answer) => faultsOf(ajv, answer);
}

/** The description writes `nullable` as OpenAPI 3.0 did, also beside a reference, which is not JSON Schema. */
function nullableToo(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('nullable' in value)) return value;
  const { nullable, ...schema } = value;
  return nullable === true ? { anyOf: [schema, { type: 'null' }] } : nullable === false ? schema : value;
}

function faultsOf(ajv: Ajv, answer: Tapped): string[] {
  const [path = ''] = answer.path.split('?', 1);
  const known = schemas.find(([pattern]) => pattern.test(path));
  const family = known?.[1] ?? (path.startsWith('/api/') ? 'ollama' : 'openai');
  const check = (schema: string, value: unknown): string[] => {
    const valid = ajv.getSchema(`${family}#/components/schemas/${schema}`);
    if (!valid) throw new Error(`the description of ${family} has no ${schema}`);
    if (valid(value)) return [];
    return (valid.errors ?? []).map(({ instancePath, message }) => `${path} ${schema}${instancePath} ${message}`);
  };
  const missing = ['x-request-id', 'request-id'].filter((name) => answer.headers[name] === undefined);
  const faults = missing.map((name) => `${path} has no header ${name}`);
  if (answer.text === '') return faults;
  if (answer.status >= 400) return [...faults, ...check('ErrorResponse', JSON.parse(answer.text))];
  if (!known) return faults;
  const [, , body, event = body] = known;
  const streamed = /event-stream|ndjson/.test(answer.headers['content-type'] ?? '');
  if (!streamed) return [...faults, ...check(body, JSON.parse(answer.text))];
  return [...faults, ...eventsOf(answer).flatMap((value) => check(isError(value) ? 'ErrorResponse' : event, value))];
}

/** Events of both kinds of stream; what a cut has halved is none. */
function eventsOf({ headers, text, whole }: Tapped): unknown[] {
  const lines = text.split('\n');
  if (!whole) lines.pop();
  if (headers['content-type']?.includes('ndjson')) return lines.filter(Boolean).map((line) => JSON.parse(line));
  const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice('data: '.length));
  return data.filter((line) => line !== '[DONE]').map((line) => allowed(JSON.parse(line)));
}

function isError(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'error' in value;
}

/** OpenAI's own chunks of completions have null where its description wants a reason; so have ours. */
function allowed(value: unknown): unknown {
  const chunk = value as { object?: string; choices?: { finish_reason: string | null }[] };
  if (chunk.object !== 'text_completion') return value;
  return {
    ...chunk,
    choices: chunk.choices?.map((choice) => ({ ...choice, finish_reason: choice.finish_reason ?? 'stop' })),
  };
}
