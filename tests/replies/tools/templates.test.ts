// The templates that llama.cpp publishes are told apart, and the calls that they write into a prompt are read back.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ChatMessage, Tool } from '@berth/shared/request.ts';
import { capabilitiesOf } from '@berth/worker/models/capabilities.ts';
import { templateOf } from '@berth/worker/models/chat-template.ts';
import type { GgufHeader } from '@berth/worker/models/gguf.ts';
import { promptReader } from '@berth/worker/engine/llama/template.ts';
import { splitter } from '@berth/worker/replies/split.ts';
import { thoughtsOf } from '@berth/worker/replies/thinking.ts';
import { families, syntaxOf } from '@berth/worker/replies/tools/families.ts';
import type { ToolSyntax } from '@berth/worker/replies/tools/syntax.ts';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { afterAll, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const clone = join(root, '.cache/engine-source.git');

/** They lie in the source bundle inside the engine's package, and are read from a clone of it that is kept. */
function published(file: string): string {
  if (!existsSync(clone)) cloneBundle();
  return execFileSync('git', ['-C', clone, 'show', `HEAD:models/templates/${file}.jinja`], { encoding: 'utf8' });
}

/** Under another name until it is whole: a test that is broken off leaves no half of one. */
function cloneBundle(): void {
  const bundle = join(root, 'node_modules/node-llama-cpp/llama/gitRelease.bundle');
  mkdirSync(join(root, '.cache'), { recursive: true });
  const partial = mkdtempSync(join(root, '.cache/engine-source-'));
  execFileSync('git', ['clone', '--quiet', '--bare', bundle, partial]);
  if (existsSync(clone)) rmSync(partial, { recursive: true });
  else renameSync(partial, clone);
}

interface Renderer {
  render(values: object): string;
}

/** llama.cpp's own, by which the engine renders prompts; it needs no model. */
const options = { build: 'never', skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.error } as const;
const llama = await getLlama({ ...options, gpu: false });
const { AddonJinjaRenderer }: { AddonJinjaRenderer: new (template: string) => Renderer } = Reflect.get(
  llama,
  '_bindings',
);
afterAll(() => llama.dispose());

const tool: Tool = {
  name: 'weather',
  description: 'Tells the weather',
  parameters: {
    type: 'object',
    properties: {
      city: { type: 'string', description: 'Where' },
      days: { type: 'integer', description: 'How many' },
    },
  },
};
const made = [
  { city: 'Oslo', days: 2 },
  { city: 'Zürich', days: 5 },
];

/** What a template writes for an assistant's turn that calls the tool so often. */
function turnOf(template: string, count: number): string {
  // Kimi's ids tell which tool is called; they are given to it by place.
  const named = template.includes('<|tool_call_argument_begin|>') ? 'functions.weather:' : 'abcdefgh';
  const calls = made.slice(0, count).map((args, index) => ({
    id: `${named}${index}`,
    type: 'function',
    function: { name: 'weather', arguments: args },
  }));
  const user = { role: 'user', content: 'Hello' };
  const values = { tools: [{ type: 'function', function: tool }], bos_token: '', eos_token: '' };
  const renderer = new AddonJinjaRenderer(template);
  const asked = renderer.render({ ...values, messages: [user], add_generation_prompt: true });
  const assistant = { role: 'assistant', content: '', tool_calls: calls };
  const told = renderer.render({ ...values, messages: [user, assistant], add_generation_prompt: false });
  return told.slice(commonLength(asked, told));
}

/** How much is the same in both, short of a tag that would be cut. */
function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return a.slice(0, length).replace(/<[^>]*$/, '').length;
}

function callsIn(template: string, text: string): unknown[] {
  const calls = { syntax: syntaxOf(template), tools: [tool], inPieces: false };
  const split = splitter({ thoughts: thoughtsOf(template), calls });
  return [...split.push(text), ...split.flush()].filter(({ kind }) => kind === 'call');
}

/** A forced call, as the grammar of the family's frame has it written. */
function framed({ frame }: ToolSyntax, template: string): string {
  const { open, call, close } = frame(template);
  return `${open}${call[0]}weather${call[1]}${JSON.stringify(made[0])}${call[2]}${close}`;
}

/** They write values that are no JSON, which a grammar could not hold to a schema; gpt-oss is taught two ways. */
const framedOtherwise = ['qwen-coder', 'gemma', 'glm', 'invoke', 'channels'];

const templates: [file: string, family: string, calls: number][] = [
  ['NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use', 'hermes', 2],
  ['NousResearch-Hermes-3-Llama-3.1-8B-tool_use', 'hermes', 2],
  ['Qwen-Qwen2.5-7B-Instruct', 'hermes', 2],
  ['Qwen-Qwen3-0.6B', 'hermes', 2],
  ['Qwen-QwQ-32B', 'hermes', 2],
  ['ibm-granite-granite-4.0', 'hermes', 2],
  ['Qwen3-Coder', 'qwen-coder', 2],
  ['Qwen3.5-4B', 'qwen-coder', 2],
  // Llama's templates refuse more than one call at once.
  ['meta-llama-Llama-3.1-8B-Instruct', 'llama3', 1],
  ['meta-llama-Llama-3.2-3B-Instruct', 'llama3', 1],
  ['meta-llama-Llama-3.3-70B-Instruct', 'llama3', 1],
  ['mistralai-Mistral-Nemo-Instruct-2407', 'mistral', 2],
  ['Mistral-Small-3.2-24B-Instruct-2506', 'mistral', 2],
  ['mistralai-Ministral-3-14B-Reasoning-2512', 'mistral', 2],
  ['unsloth-mistral-Devstral-Small-2507', 'mistral', 2],
  ['deepseek-ai-DeepSeek-V3.1', 'deepseek', 2],
  ['deepseek-ai-DeepSeek-R1-Distill-Qwen-32B', 'deepseek', 2],
  ['llama-cpp-deepseek-r1', 'deepseek', 2],
  ['google-gemma-4-31B-it', 'gemma', 2],
  ['google-gemma-4-31B-it-interleaved', 'gemma', 2],
  ['Kimi-K2-Instruct', 'kimi', 2],
  ['Kimi-K2-Thinking', 'kimi', 2],
  ['GLM-4.6', 'glm', 2],
  ['GLM-4.7-Flash', 'glm', 2],
  ['CohereForAI-c4ai-command-r-plus-tool_use', 'cohere', 2],
  ['CohereForAI-c4ai-command-r7b-12-2024-tool_use', 'cohere', 2],
  ['Cohere2MoE', 'cohere', 2],
  ['MiniMax-M2', 'invoke', 2],
  ['deepseek-ai-DeepSeek-V3.2', 'invoke', 2],
  ['deepseek-ai-DeepSeek-V4', 'invoke', 2],
  ['NVIDIA-Nemotron-3-Nano-30B-A3B-BF16', 'qwen-coder', 2],
  // Only one call at once, and no other way to write it down.
  ['openai-gpt-oss-120b', 'channels', 1],
  // Phi 4 mini's own is not among them; these write the older of its two forms.
  ['fireworks-ai-llama-3-firefunction-v2', 'listed', 2],
  ['NVIDIA-Nemotron-Nano-v2', 'listed', 2],
  ['Apriel-1.6-15b-Thinker-fixed', 'listed', 2],
];

test.each(templates)('%s is %s, and its calls are read', (file, family, count) => {
  const template = published(file);
  expect(syntaxOf(template).name).toBe(family);
  for (let calls = 1; calls <= count; calls += 1) {
    const expected = made.slice(0, calls).map((args) => ({ kind: 'call', name: 'weather', arguments: args }));
    expect(callsIn(template, turnOf(template, calls))).toMatchObject(expected);
  }
});

test.each(templates)('a forced call of %s is written as its template writes one', (file, family) => {
  const template = published(file);
  const written = framed(syntaxOf(template), template);
  expect(callsIn(template, written)).toMatchObject([{ kind: 'call', name: 'weather', arguments: made[0] }]);
  if (framedOtherwise.includes(family)) return;
  // Ids are ours to give.
  const bare = (text: string) =>
    text.replace(/, "id": "\w+"|\[CALL_ID\]\w+|"tool_call_id": "\d+", /, '').replaceAll(/\s/g, '');
  expect(bare(turnOf(template, 1))).toContain(bare(written));
});

test.each([
  ['Qwen-Qwen3-0.6B', '<think>'],
  ['Qwen-QwQ-32B', '<think>'],
  ['deepseek-ai-DeepSeek-V3.1', '<think>'],
  ['GLM-4.6', '<think>'],
  ['GLM-4.7-Flash', '<think>'],
  ['Kimi-K2-Thinking', '<think>'],
  ['Kimi-K2-Instruct', null],
  ['MiniMax-M2', '<think>'],
  ['CohereForAI-c4ai-command-r7b-12-2024-tool_use', '<|START_THINKING|>'],
  ['Cohere2MoE', '<|START_THINKING|>'],
  ['CohereForAI-c4ai-command-r-plus-tool_use', null],
  ['ByteDance-Seed-OSS', '<seed:think>'],
  ['mistralai-Ministral-3-14B-Reasoning-2512', '[THINK]'],
  ['google-gemma-4-31B-it', '<|channel>thought'],
  ['openai-gpt-oss-120b', 'channels'],
  ['Qwen-Qwen2.5-7B-Instruct', null],
  ['meta-llama-Llama-3.3-70B-Instruct', null],
  ['google-gemma-2-2b-it', null],
])('%s marks its thinking by %s', (file, open) => {
  const thoughts = thoughtsOf(published(file));
  expect(thoughts === null ? null : thoughts.kind === 'tags' ? thoughts.open : thoughts.kind).toBe(open);
});

test.each([
  ['Qwen-Qwen3-0.6B', '<think>\nRain or sun?\n</think>'],
  ['Qwen3.5-4B', '<think>\nRain or sun?\n</think>'],
  ['GLM-4.6', '<think>Rain or sun?</think>'],
  ['GLM-4.7-Flash', '<think>Rain or sun?</think>'],
  ['Kimi-K2-Thinking', '<think>Rain or sun?</think>'],
  ['CohereForAI-c4ai-command-r7b-12-2024-tool_use', '<|START_THINKING|>Rain or sun?<|END_THINKING|>'],
  ['Cohere2MoE', '<|START_THINKING|>Rain or sun?<|END_THINKING|>'],
  ['MiniMax-M2', '<think>\nRain or sun?\n</think>'],
  ['deepseek-ai-DeepSeek-V3.2', 'Rain or sun?</think>'],
  ['google-gemma-4-31B-it', '<|channel>thought\nRain or sun?\n<channel|>'],
  ['mistralai-Ministral-3-14B-Reasoning-2512', '[THINK]Rain or sun?[/THINK]'],
  ['openai-gpt-oss-120b', '<|channel|>analysis<|message|>Rain or sun?<|end|>'],
])('%s is given the thought before a call as %s', (file, written) => {
  const template = published(file);
  const toolCalls = [{ id: 'abcdefgh0', name: 'weather', arguments: made[0]! }];
  const messages: ChatMessage[] = [
    { role: 'user', content: 'Hello' },
    { role: 'assistant', content: '', thinking: 'Rain or sun?', toolCalls },
    { role: 'tool', content: 'sun', name: 'weather', toolCallId: 'abcdefgh0' },
  ];
  const renderer = new AddonJinjaRenderer(template);
  let prompt = '';
  const read = promptReader({
    chatTemplate: template,
    controlTexts: [],
    bosText: '',
    eosText: '',
    firstToken: null,
    vocabularyTokens: 1,
    infill: null,
    compile: () => (values) => (prompt = renderer.render(values)),
    tokenize: () => new Uint32Array(1),
  });
  read({ kind: 'chat', messages, tools: [tool], think: true });
  expect(prompt).toContain(written);
});

test('a file\u2019s two templates are one that does what both do', () => {
  const tools = [{ type: 'function', function: tool }];
  const values = {
    messages: [{ role: 'user', content: 'Hi' }],
    bos_token: '',
    eos_token: '',
    add_generation_prompt: true,
  };
  for (const file of ['CohereForAI-c4ai-command-r7b-12-2024-tool_use', 'CohereForAI-c4ai-command-r-plus-tool_use']) {
    const withTools = published(file);
    const own = published('google-gemma-2-2b-it');
    const both = new AddonJinjaRenderer(templateOf(own, withTools)!);
    const alone = (template: string, given: object) => new AddonJinjaRenderer(template).render(given);
    expect(both.render({ ...values, tools })).toBe(alone(withTools, { ...values, tools }));
    expect(both.render({ ...values, tools: null })).toBe(alone(own, { ...values, tools: null }));
    expect(syntaxOf(templateOf(own, withTools)).name).toBe('cohere');
  }
  expect([templateOf(undefined, 'x'), templateOf('', 'x'), templateOf('x', null)]).toEqual([null, null, 'x']);
});

/** What a published template's model can do, as docs/models.md tells it. */
function rowOf([file, family, calls]: (typeof templates)[number]): string {
  const template = published(file);
  const can = capabilitiesOf({
    architecture: 'llama',
    chatTemplate: template,
    pooled: false,
    infills: false,
  } as GgufHeader);
  const thoughts = thoughtsOf(template);
  const mark = thoughts?.kind === 'tags' ? `\`${thoughts.open}\`` : 'the channel `analysis`';
  const cells = can.includes('tools')
    ? [
        calls > 1 ? 'several at once' : 'one at a time',
        framedOtherwise.slice(0, 4).includes(family) ? 'JSON in its tags' : 'its own',
      ]
    : ['its template takes none', '–'];
  return `| ${file} | ${cells.join(' | ')} | ${thoughts === null ? 'no' : mark.replaceAll('|', '\\|')} |`;
}

test('docs/models.md tells what each can do', () => {
  const rows = templates.map(rowOf).toSorted((a, b) => a.localeCompare(b, 'en'));
  const docs = readFileSync(join(root, 'docs/models.md'), 'utf8');
  const head = '| --- | --- | --- | --- |\n';
  const start = docs.indexOf(head, docs.indexOf('## What published models can do')) + head.length;
  expect(docs.slice(start, docs.indexOf('\n\n', start)).split('\n')).toEqual(rows);
});

test('every family but the one for the rest has a published template', () => {
  const known = families.map(({ name }) => name).filter((name) => name !== 'generic');
  expect(new Set(templates.map(([, family]) => family))).toEqual(new Set(known));
});
