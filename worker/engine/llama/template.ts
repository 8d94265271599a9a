// From a request's prompt to tokens: the model's own chat template, and no control token from a client's text.
import { isObject } from '@berth/shared/dialects/check.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { ChatMessage, Prompt, Think, Tool } from '@berth/shared/request.ts';
import { withCallIds } from './call-ids.ts';

/** What a chat template is given, under the names that templates know. */
export interface TemplateValues {
  messages: Record<string, unknown>[];
  tools: { type: 'function'; function: Tool }[] | null;
  add_generation_prompt: boolean;
  bos_token: string;
  eos_token: string;
  /** What templates of models that think go by; left out, they do as they do by themselves. */
  enable_thinking?: boolean;
  thinking?: boolean;
  /** As Cohere's call it. */
  reasoning?: boolean;
  reasoning_effort?: string;
}

/** What this file needs of a loaded model. */
export interface PromptModel {
  /** The Jinja template in the model's file. */
  chatTemplate: string | null;
  /** Text of each control token. */
  controlTexts: readonly string[];
  bosText: string;
  eosText: string;
  /** The tokens that mark what is before, behind and between two texts, or `null`. */
  infill: { before: number; after: number; between: number } | null;
  /** The token that has to stand first, or `null`. */
  firstToken: number | null;
  /** @throws Error when the template is no Jinja */
  compile(template: string): (values: TemplateValues) => string;
  /** How many tokens there are: ids are below it. */
  vocabularyTokens: number;
  /** @param control whether control tokens are recognised in the text */
  tokenize(text: string, control: boolean): Uint32Array;
}

/** Most characters of a rendered prompt: far above any context, so that a template cannot fill the memory. */
const renderedCharsMax = 16 * 2 ** 20;

/** For models without a template. Most such files are small or experimental, and ChatML is what they were given. */
const chatMl =
  '{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n';

/** Stand around a number in place of a control token's text while a template is rendered (private-use characters). */
const [opening, closing] = ['\uF8FE', '\uF8FF'];
const placeholder = new RegExp(`${opening}(\\d+)${closing}`);

/**
 * Resolves the template once; the result turns each prompt into tokens.
 *
 * @throws Refusal `load_failed` when the model's template is no Jinja
 */
export function promptReader(model: PromptModel): (prompt: Prompt) => Uint32Array {
  const render = compiled(model);
  const plain = controlFinder(model.controlTexts);
  return (prompt) => {
    if (prompt.kind === 'tokens') return knownTokens(model, prompt.tokens, 'prompt');
    if (prompt.kind === 'raw') return withFirst(model, model.tokenize(prompt.text, true));
    if (prompt.kind === 'infill') return infillTokens(model, prompt);
    const hidden: string[] = [];
    const hide = (text: string): string => hideAll(text, plain, hidden);
    const text = renderChat(render, model, {
      ...prompt,
      messages: prompt.messages.map(hideIn(hide)),
      tools: prompt.tools.map((tool) => ({
        ...tool,
        description: hide(tool.description),
        parameters: hideDeep(tool.parameters, hide),
      })),
    });
    const tokens = tokenizeRendered(model, text, hidden);
    return withFirst(model, prompt.history ? following(model, prompt.history, tokens) : tokens);
  };
}

/** A conversation goes on: what stands first does not come again in its middle. */
function following(model: PromptModel, history: readonly number[], tokens: Uint32Array): Uint32Array {
  const rest = tokens[0] === model.firstToken ? tokens.subarray(1) : tokens;
  return joined([knownTokens(model, history, 'context'), rest]);
}

/** As the models were trained: before, behind, then what is between. What looks like a control token is code to them. */
function infillTokens(model: PromptModel, { before, after }: Extract<Prompt, { kind: 'infill' }>): Uint32Array {
  if (model.infill === null) {
    throw new Refusal('bad_request', 'the model does not support insert: its vocabulary has no tokens for it', {
      param: 'suffix',
    });
  }
  const text = (words: string) => (words === '' ? new Uint32Array(0) : model.tokenize(words, false));
  const marks = [model.infill.before, model.infill.after, model.infill.between].map((mark) => Uint32Array.of(mark));
  const [first, second, third] = marks as [Uint32Array, Uint32Array, Uint32Array];
  return withFirst(model, joined([first, text(before), second, text(after), third]));
}

function compiled(model: PromptModel): (values: TemplateValues) => string {
  try {
    return model.compile(model.chatTemplate ?? chatMl);
  } catch (error) {
    throw new Refusal('load_failed', `the model's chat template cannot be read: ${firstLine(error)}`);
  }
}

function renderChat(
  render: (values: TemplateValues) => string,
  model: PromptModel,
  { messages, tools, think }: Extract<Prompt, { kind: 'chat' }>,
): string {
  const values: TemplateValues = {
    messages: withCallIds(model.chatTemplate ?? '', messages).map((message) =>
      templateMessage(message, model.chatTemplate ?? ''),
    ),
    tools: tools.length === 0 ? null : tools.map(templateTool),
    add_generation_prompt: true,
    bos_token: model.bosText,
    eos_token: model.eosText,
    ...thinkingValues(think, model.chatTemplate ?? ''),
  };
  let text: string;
  try {
    text = render(values);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal('bad_request', `the model's chat template refuses these messages: ${firstLine(error)}`, {
      param: 'messages',
    });
  }
  if (text.length <= renderedCharsMax) return text;
  throw new Refusal('bad_request', `the messages make a prompt of more than ${renderedCharsMax} characters`);
}

/** Whether a tool is strict is between the client and us. */
function templateTool({ name, description, parameters }: Tool): { type: 'function'; function: Tool } {
  return { type: 'function', function: { name, description, parameters } };
}

function thinkingValues(think: Think | undefined, template: string): Partial<TemplateValues> {
  if (think === undefined) return {};
  const on = think !== false;
  return {
    enable_thinking: on,
    thinking: on,
    ...(template.includes('<|START_THINKING|>') && { reasoning: on }),
    ...(typeof think === 'string' && { reasoning_effort: think }),
  };
}

/** The shape that templates expect: OpenAI's, with the arguments of a call as an object. */
function templateMessage(message: ChatMessage, template: string): Record<string, unknown> {
  const calls = message.toolCalls?.map((call) => ({
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments },
  }));
  return {
    role: message.role,
    content: message.content,
    ...(message.thinking !== undefined && thoughtIn(message, message.thinking, template)),
    ...(message.name === undefined ? {} : { name: message.name }),
    ...(message.toolCallId === undefined ? {} : { tool_call_id: message.toolCallId }),
    ...(calls === undefined ? {} : { tool_calls: calls }),
  };
}

/** An earlier thought under the name that the template reads, most of which take it only between calls; else left out. */
function thoughtIn({ content, toolCalls }: ChatMessage, thought: string, template: string): Record<string, unknown> {
  if (/\breasoning_content\b/.test(template)) return { reasoning_content: thought };
  // gpt-oss has no room for a thought beside words before a call, and refuses both.
  if (/\.thinking\b/.test(template)) return content !== '' && toolCalls ? {} : { thinking: thought };
  if (/\.reasoning\b/.test(template)) return { reasoning: thought };
  if (/\.tool_plan\b/.test(template)) return { tool_plan: thought };
  // Mistral's has thoughts and text as parts of the content.
  if (!/\['thinking'\]/.test(template)) return {};
  const words = content === '' ? [] : [{ type: 'text', text: content }];
  return { content: [{ type: 'thinking', thinking: thought }, ...words] };
}

function hideIn(hide: (text: string) => string): (message: ChatMessage) => ChatMessage {
  return ({ thinking, toolCalls, ...message }) => ({
    ...message,
    content: hide(message.content),
    ...(thinking !== undefined && { thinking: hide(thinking) }),
    ...(toolCalls && { toolCalls: toolCalls.map((call) => ({ ...call, arguments: hideDeep(call.arguments, hide) })) }),
  });
}

/** A file that a call writes, or the description of a tool from elsewhere, may quote control tokens too. */
function hideDeep(value: Record<string, unknown>, hide: (text: string) => string): Record<string, unknown> {
  const entries = Object.entries(value).map(([key, item]) => [hide(key), hidden(item)]);
  function hidden(item: unknown): unknown {
    if (typeof item === 'string') return hide(item);
    if (Array.isArray(item)) return item.map(hidden);
    return isObject(item) ? hideDeep(item, hide) : item;
  }
  return Object.fromEntries(entries);
}

/** Replaces what would become a control token, so that a quoted document cannot end its own message. */
function hideAll(text: string, plain: RegExp, hidden: string[]): string {
  return text.replace(plain, (found) => `${opening}${hidden.push(found) - 1}${closing}`);
}

function controlFinder(controlTexts: readonly string[]): RegExp {
  const longestFirst = [...controlTexts].filter((text) => text.length > 1).sort((a, b) => b.length - a.length);
  const escaped = [...longestFirst, opening].map((text) => text.replace(/[$()*+.?[\\\]^{|}/-]/g, '\\$&'));
  return new RegExp(escaped.join('|'), 'g');
}

function tokenizeRendered(model: PromptModel, text: string, hidden: readonly string[]): Uint32Array {
  const parts = text.split(placeholder).map((part, index) => {
    return index % 2 === 0 ? model.tokenize(part, true) : model.tokenize(hidden[Number(part)] ?? '', false);
  });
  return joined(parts);
}

function joined(parts: readonly Uint32Array[]): Uint32Array {
  const [only] = parts;
  if (parts.length === 1 && only) return only;
  const all = new Uint32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** @throws Refusal `bad_request`: llama.cpp reads what it is given, whatever lies there */
export function knownTokens({ vocabularyTokens }: PromptModel, tokens: readonly number[], param: string): Uint32Array {
  const stray = tokens.find((token) => token >= vocabularyTokens);
  if (stray === undefined) return Uint32Array.from(tokens);
  throw new Refusal('bad_request', `${param} has the token ${stray}, but the model has only ${vocabularyTokens}`, {
    param,
  });
}

/** The first token once: templates often write it themselves. */
export function withFirst(model: PromptModel, tokens: Uint32Array): Uint32Array {
  if (model.firstToken === null || tokens[0] === model.firstToken) return tokens;
  return joined([Uint32Array.of(model.firstToken), tokens]);
}

function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message
    .replace(/^AddonJinjaRenderer: /, '')
    .split('\n', 1)[0]!
    .slice(0, 300);
}
