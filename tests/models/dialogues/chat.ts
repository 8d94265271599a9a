// The chat format of our own models: ChatML with tools in the Hermes way, as a Jinja template and as the same thing in TypeScript.

export interface ToolCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}
export interface Message {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  readonly calls?: readonly ToolCall[];
}
export interface Tool {
  readonly type: 'function';
  readonly function: { readonly name: string; readonly description?: string; readonly parameters: unknown };
}

export const endOfText = '<|endoftext|>';
export const turnStart = '<|im_start|>';
export const turnEnd = '<|im_end|>';
/** In the order of their token ids. */
export const controlTokens: readonly string[] = [endOfText, turnStart, turnEnd];

const toolsBefore = '# Tools\n\nYou may call one of these functions:\n<tools>\n';
const toolsAfter =
  '</tools>\n\nTo call one, answer with:\n<tool_call>\n{"name": <name>, "arguments": <arguments>}\n</tool_call>';
const quoted = (text: string): string => `'${text.replaceAll('\n', '\\n')}'`;

/** Jinja, as it stands in `tokenizer.chat_template`. Arguments may come as an object or as OpenAI's JSON string. */
export const chatTemplate = [
  `{%- set first = messages[0] if messages else none -%}`,
  `{%- if tools -%}`,
  `{{- '${turnStart}system\\n' -}}`,
  `{%- if first and first.role == 'system' -%}{{- first.content + '\\n\\n' -}}{%- endif -%}`,
  `{{- ${quoted(toolsBefore)} -}}`,
  `{%- for tool in tools -%}{{- (tool | tojson) + '\\n' -}}{%- endfor -%}`,
  `{{- ${quoted(toolsAfter)} + '${turnEnd}\\n' -}}`,
  `{%- endif -%}`,
  `{%- for message in messages -%}`,
  `{%- if message.role == 'system' and loop.first and tools -%}`,
  `{%- elif message.role == 'tool' -%}`,
  `{{- '${turnStart}user\\n<tool_response>\\n' + message.content + '\\n</tool_response>${turnEnd}\\n' -}}`,
  `{%- elif message.role == 'assistant' and message.tool_calls -%}`,
  `{{- '${turnStart}assistant\\n' -}}`,
  `{%- if message.content -%}{{- message.content + '\\n' -}}{%- endif -%}`,
  `{%- for call in message.tool_calls -%}`,
  `{%- set made = call.function if call.function else call -%}`,
  `{%- if not loop.first -%}{{- '\\n' -}}{%- endif -%}`,
  `{{- '<tool_call>\\n{"name": "' + made.name + '", "arguments": ' -}}`,
  `{%- if made.arguments is string -%}{{- made.arguments -}}{%- else -%}{{- made.arguments | tojson -}}{%- endif -%}`,
  `{{- '}\\n</tool_call>' -}}`,
  `{%- endfor -%}`,
  `{{- '${turnEnd}\\n' -}}`,
  `{%- else -%}`,
  `{{- '${turnStart}' + message.role + '\\n' + (message.content or '') + '${turnEnd}\\n' -}}`,
  `{%- endif -%}`,
  `{%- endfor -%}`,
  `{%- if add_generation_prompt -%}{{- '${turnStart}assistant\\n' -}}{%- endif -%}`,
].join('\n');

/** JSON with a space after comma and colon, as Jinja's `tojson` writes it. */
function spacedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spacedJson).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, inner]) => `${JSON.stringify(key)}: ${spacedJson(inner)}`)
    .join(', ')}}`;
}

/** What an assistant says when it calls tools. */
export function callText(calls: readonly ToolCall[]): string {
  return calls
    .map((call) => `<tool_call>\n{"name": "${call.name}", "arguments": ${spacedJson(call.arguments)}}\n</tool_call>`)
    .join('\n');
}

export interface Piece {
  readonly text: string;
  /** Written by the model: its words and the end of its turn. */
  readonly answer: boolean;
}

/** A conversation as pieces of text, in order; joined they are what the template renders. */
export function piecesOf(messages: readonly Message[], tools: readonly Tool[] = []): Piece[] {
  const pieces: Piece[] = [];
  const given = (text: string): number => pieces.push({ text, answer: false });
  const system = messages[0]?.role === 'system' ? messages[0].content : undefined;
  if (tools.length > 0) {
    const head = system === undefined ? '' : `${system}\n\n`;
    given(
      `${turnStart}system\n${head}${toolsBefore}${tools.map((tool) => `${spacedJson(tool)}\n`).join('')}${toolsAfter}${turnEnd}\n`,
    );
  }
  messages.forEach((message, place) => {
    if (place === 0 && system !== undefined && tools.length > 0) return;
    if (message.role === 'tool')
      given(`${turnStart}user\n<tool_response>\n${message.content}\n</tool_response>${turnEnd}\n`);
    else if (message.role !== 'assistant') given(`${turnStart}${message.role}\n${message.content}${turnEnd}\n`);
    else {
      const words = message.calls
        ? `${message.content === '' ? '' : `${message.content}\n`}${callText(message.calls)}`
        : message.content;
      given(`${turnStart}assistant\n`);
      pieces.push({ text: `${words}${turnEnd}`, answer: true });
      given('\n');
    }
  });
  return pieces;
}

/** The prompt after which the model is to answer. */
export function promptOf(messages: readonly Message[], tools: readonly Tool[] = []): string {
  return `${piecesOf(messages, tools)
    .map((piece) => piece.text)
    .join('')}${turnStart}assistant\n`;
}
