// Transcripts of every dialect, byte for byte, from a whole Berth with real engines: what clients have been promised.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeGguf } from '../models/gguf.ts';
import { reasoningModel } from '../models/reasoning.ts';
import { scriptedModel } from '../models/scripted.ts';
import { aFolder, startLocal } from './berth.ts';
import type { Berth, Folder } from './berth.ts';
import { installClients } from './clients.ts';
import { ask } from './requests.ts';
import type { Answer } from './requests.ts';
import { openValidity } from './validity.ts';

/** `UPDATE=1` writes the transcripts anew; what has changed in them is then for a reader to judge. */
const update = process.env['UPDATE'] === '1';
const folderOf = (file: string) => join(import.meta.dirname, 'golden', `${file}.txt`);

const says = ['Here', ' is', ' my', ' answer', ': "', 'zwölf', '" \u{1f30d}'];
const calls = [
  'Let',
  ' me',
  ' see',
  '.',
  '<tool_call>',
  '{"name": "',
  'weather',
  '", "arguments": ',
  '{"city": "',
  'Os',
];
const callsOn = ['lo', '"', '}}', '</tool_call>'];

let models: Folder;
let berth: Berth;
let faultsOf: ReturnType<typeof openValidity>;
beforeAll(async () => {
  models = await aFolder();
  const write = (name: string, model: Parameters<typeof writeGguf>[1]) =>
    writeGguf(join(models.path, `${name}.gguf`), model);
  write('plain', scriptedModel({ name: 'plain', says }));
  write('caller', scriptedModel({ name: 'caller', says: [...calls, ...callsOn] }));
  write('thinker', reasoningModel());
  await installClients();
  faultsOf = openValidity();
  const env = { MODELS_DIR: models.path, NUM_PARALLEL: '1', MAX_LOADED_MODELS: '3' };
  berth = await startLocal({ env });
}, 180_000);
afterAll(async () => {
  await berth.stop();
  await models[Symbol.asyncDispose]();
});

const messages = [{ role: 'user', content: 'Hello' }];
const weather = {
  type: 'function',
  function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
};
const usage = { stream_options: { include_usage: true } };
const streamed = { stream: true };
const whole = { stream: false };
const plain = { model: 'plain', messages };
const caller = { model: 'caller', messages, tools: [weather] };
const thinker = { model: 'thinker', messages };
const text = { model: 'plain', prompt: 'Hello\n' };

type Case = [what: string, path: string, body: object];
const chat = '/v1/chat/completions';
const completions = '/v1/completions';

const transcripts: Record<string, Case[]> = {
  'openai-chat': [
    ['a whole reply', chat, plain],
    ['a stream', chat, { ...plain, ...streamed }],
    ['a stream with its usage, cut by the bound on tokens', chat, { ...plain, ...streamed, ...usage, max_tokens: 3 }],
    ['two answers', chat, { ...plain, n: 2, max_tokens: 2 }],
    ['two answers as a stream', chat, { ...plain, ...streamed, ...usage, n: 2, max_tokens: 2 }],
    ['a wrong field', chat, { ...plain, ...streamed, temperature: 'hot' }],
    ['a model that is not there', chat, { ...plain, model: 'nobody' }],
  ],
  'openai-tools': [
    ['a call', chat, caller],
    ['a call as a stream', chat, { ...caller, ...streamed, ...usage }],
    ['a call that the bound on tokens cuts off', chat, { ...caller, ...streamed, max_tokens: 10 }],
    ['a call that has to be', chat, { ...caller, tool_choice: 'required', max_tokens: 40 }],
    ['what comes after the result', chat, { ...caller, ...streamed, messages: afterCall() }],
  ],
  'openai-reasoning': [
    ['a thought and the answer', chat, thinker],
    ['a thought and the answer as a stream', chat, { ...thinker, ...streamed, ...usage }],
    ['an answer whose thought is not wanted', chat, { ...thinker, reasoning_effort: 'none' }],
    ['a thought that is given back', chat, { ...thinker, messages: afterThought() }],
  ],
  'openai-completions': [
    ['a whole reply', completions, text],
    ['a stream with its usage', completions, { ...text, ...streamed, ...usage }],
    ['the prompt with its answer', completions, { ...text, echo: true, max_tokens: 3 }],
    ['two prompts, two answers each', completions, { ...text, prompt: ['A\n', 'B\n'], n: 2, max_tokens: 2 }],
    ['two prompts as a stream', completions, { ...text, ...streamed, prompt: ['A\n', 'B\n'], max_tokens: 2 }],
    ['too many answers', completions, { ...text, n: 65 }],
  ],
  'ollama-chat': [
    ['a stream', '/api/chat', plain],
    ['a whole reply', '/api/chat', { ...plain, ...whole }],
    ['a reply that the bound on tokens cuts off', '/api/chat', { ...plain, ...whole, options: { num_predict: 3 } }],
    ['a wrong field', '/api/chat', { ...plain, format: 'xml' }],
    ['a model that is not there', '/api/chat', { ...plain, model: 'nobody' }],
    ['a model that is only loaded', '/api/chat', { model: 'plain' }],
  ],
  'ollama-tools': [
    ['a call as a stream', '/api/chat', caller],
    ['a call', '/api/chat', { ...caller, ...whole }],
  ],
  'ollama-thinking': [
    ['a thought and the answer as a stream', '/api/chat', thinker],
    ['a thought and the answer', '/api/chat', { ...thinker, ...whole }],
    ['an answer without a thought', '/api/chat', { ...thinker, ...whole, think: false }],
    ['a thought of a model that has none', '/api/chat', { ...plain, think: true }],
    ['generate with a thought', '/api/generate', { model: 'thinker', prompt: 'Hello', ...whole }],
  ],
  'ollama-generate': [
    ['a stream', '/api/generate', { ...text, raw: true }],
    ['a whole reply', '/api/generate', { model: 'plain', prompt: 'Hello', ...whole }],
  ],
};

test.each(Object.keys(transcripts))('%s is as it was', async (file) => {
  const sections: string[] = [];
  for (const [what, path, body] of transcripts[file]!) {
    const answer = await ask({ url: berth.url, path, body });
    expect(answer.clean).toBe(true);
    const asTapped = { method: 'POST', path, status: answer.status, headers: answer.headers, text: answer.text };
    expect(faultsOf?.({ ...asTapped, whole: true }) ?? []).toEqual([]);
    sections.push(`## ${what}\nPOST ${path}\n${JSON.stringify(body)}\n\n${told(answer)}`);
  }
  const transcript = sections.join('\n');
  if (update) await writeFile(folderOf(file), transcript);
  expect(transcript).toBe(await readFile(folderOf(file), 'utf8'));
});

/** Status, headers and every byte, but for what no two replies have in common. */
function told({ status, headers, text }: Answer): string {
  const id = String(headers['x-request-id']);
  const changing = [
    'date',
    'content-length',
    'berth-gateway',
    'berth-reason',
    'berth-wait-ms',
    'berth-load-ms',
    'berth-reused-tokens',
  ];
  const lines = Object.entries(headers).filter(([name]) => !changing.includes(name));
  const worker = String(headers['berth-worker']);
  const same = (value: unknown) => String(value).replaceAll(id, 'ID').replaceAll(worker, 'WORKER');
  const head = lines.map(([name, value]) => `${name}: ${same(value)}\n`).join('');
  const body = text
    .replaceAll(/\b(chatcmpl-|cmpl-|call_)[0-9a-f]{16}/g, '$1ID')
    .replaceAll(/"created":\d+/g, '"created":0')
    .replaceAll(/"created_at":"[^"]*"/g, '"created_at":"TIME"')
    .replaceAll(/"(\w+_duration|cached_tokens)":\d+/g, '"$1":0');
  return `HTTP ${status}\n${head}\n${body}${body.endsWith('\n') ? '' : '\n'}`;
}

function afterCall(): object[] {
  const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } };
  return [
    ...messages,
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', tool_call_id: 'call_1', content: 'Rain' },
  ];
}

function afterThought(): object[] {
  return [
    ...messages,
    { role: 'assistant', content: 'Yes', reasoning_content: 'They say hello.' },
    { role: 'user', content: 'And now?' },
  ];
}
