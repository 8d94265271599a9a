// How each family's models write calls, told once more and independently of the code that reads and forces them.
export interface Asked {
  name: string;
  args: Record<string, unknown>;
}

export interface Written {
  /** Calls as one answer, as such a model writes them. */
  calls: (calls: readonly Asked[]) => string;
  /** One call whose arguments are never closed before its end. */
  broken: string;
  /** Words may stand before a call, or after it. */
  before: boolean;
  after: boolean;
}

const json = JSON.stringify;
const each = (calls: readonly Asked[], between: string, write: (name: string, args: string) => string): string =>
  calls.map(({ name, args }) => write(name, json(args))).join(between);
const object = (name: string, args: string): string => `{"name": "${name}", "arguments": ${args}}`;
const half = '{"city": "Oslo"';

const bars = (word: string): string => `<｜${word.replaceAll(' ', '▁')}｜>`;
const gemmaValue = (value: unknown): string => {
  if (typeof value === 'string') return `<|"|>${value}<|"|>`;
  if (Array.isArray(value)) return `[${value.map(gemmaValue).join(',')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  return `{${Object.entries(value)
    .map(([key, item]) => `${key}:${gemmaValue(item)}`)
    .join(',')}}`;
};
const qwenParameter = ([key, value]: [string, unknown]): string =>
  `<parameter=${key}>\n${typeof value === 'string' ? value : json(value)}\n</parameter>\n`;
const qwenCall = ({ name, args }: Asked): string =>
  `<tool_call>\n<function=${name}>\n${Object.entries(args).map(qwenParameter).join('')}</function>\n</tool_call>`;
const llamaCall = (name: string, args: string): string => `{"name": "${name}", "parameters": ${args}}`;
const deepseekCall = (name: string, args: string): string =>
  `${bars('tool call begin')}${name}${bars('tool sep')}${args}${bars('tool call end')}`;
const deepseekCalls = (calls: string): string => `${bars('tool calls begin')}${calls}${bars('tool calls end')}`;
const fenced = (name: string, args: string): string => deepseekCall('function', `${name}\n\`\`\`json\n${args}\n\`\`\``);

const anywhere = { before: true, after: true };
const wholeAnswer = { before: false, after: true };

/** By the name of the family, and a word more where its versions differ. */
export const written: Record<string, Written> = {
  hermes: {
    calls: (calls) => each(calls, '\n', (name, args) => `<tool_call>\n${object(name, args)}\n</tool_call>`),
    broken: `<tool_call>\n{"name": "weather", "arguments": ${half}\n</tool_call>`,
    ...anywhere,
  },
  'qwen-coder': {
    calls: (calls) => calls.map(qwenCall).join('\n'),
    broken: '<tool_call>\n<function=weather>\n<parameter=city>\nOslo\n</function>\n</tool_call>',
    ...anywhere,
  },
  llama3: {
    calls: (calls) => each(calls, '; ', llamaCall),
    broken: `{"name": "weather", "parameters": ${half}`,
    ...wholeAnswer,
  },
  'llama3, with its tag': {
    calls: (calls) => `<|python_tag|>${each(calls, '; ', llamaCall)}`,
    broken: `<|python_tag|>{"name": "weather", "parameters": ${half}`,
    ...anywhere,
  },
  mistral: {
    calls: (calls) => each(calls, '', (name, args) => `[TOOL_CALLS]${name}[ARGS]${args}`),
    broken: `[TOOL_CALLS]weather[ARGS]${half}`,
    ...anywhere,
  },
  'mistral, of old': {
    calls: (calls) =>
      `[TOOL_CALLS][${each(calls, ', ', (...call) => `${object(...call).slice(0, -1)}, "id": "abcdefghi"}`)}]`,
    broken: `[TOOL_CALLS][{"name": "weather", "arguments": ${half}]`,
    ...anywhere,
  },
  deepseek: {
    calls: (calls) => deepseekCalls(each(calls, '', deepseekCall)),
    broken: deepseekCalls(deepseekCall('weather', half)),
    ...anywhere,
  },
  'deepseek, of old': {
    calls: (calls) => deepseekCalls(each(calls, '\n', fenced)),
    broken: deepseekCalls(fenced('weather', half)),
    ...anywhere,
  },
  gemma: {
    calls: (calls) => calls.map(({ name, args }) => `<|tool_call>call:${name}${gemmaValue(args)}<tool_call|>`).join(''),
    broken: '<|tool_call>call:weather{city:<|"|>Oslo<tool_call|>',
    ...anywhere,
  },
  channels: {
    calls: (calls) =>
      each(
        calls,
        '<|start|>assistant',
        (name, args) => `<|channel|>commentary to=functions.${name}<|message|>${args}<|call|>`,
      ),
    broken: `<|channel|>commentary to=functions.weather<|message|>${half}<|call|>`,
    ...anywhere,
  },
  phi: {
    calls: (calls) => `<|tool_call|>[${each(calls, ', ', object)}]<|/tool_call|>`,
    broken: `<|tool_call|>[{"name": "weather", "arguments": ${half}]<|/tool_call|>`,
    ...anywhere,
  },
  'phi, of old': {
    calls: (calls) => `functools[${each(calls, ', ', object)}]`,
    broken: `functools[{"name": "weather", "arguments": ${half}]`,
    ...anywhere,
  },
  generic: {
    calls: (calls) => (calls.length > 1 ? `[${each(calls, ', ', object)}]` : each(calls, '', object)),
    broken: `{"name": "weather", "arguments": ${half}`,
    ...wholeAnswer,
  },
};
