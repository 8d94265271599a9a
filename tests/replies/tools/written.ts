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
const glmValue = (value: unknown): string => (typeof value === 'string' ? value : json(value));
const glmCall = ({ name, args }: Asked): string =>
  `<tool_call>${name}\n${Object.entries(args)
    .map(([key, value]) => `<arg_key>${key}</arg_key>\n<arg_value>${glmValue(value)}</arg_value>\n`)
    .join('')}</tool_call>`;
const invokeCall =
  (mark: string, hint: (value: unknown) => string) =>
  ({ name, args }: Asked): string =>
    `<${mark}invoke name="${name}">\n${Object.entries(args)
      .map(([key, value]) => `<${mark}parameter name="${key}"${hint(value)}>${glmValue(value)}</${mark}parameter>\n`)
      .join('')}</${mark}invoke>`;
const miniMaxCall = invokeCall('', () => '');
const dsml = '｜DSML｜';
const dsmlCall = invokeCall(dsml, (value) => ` string="${typeof value === 'string'}"`);
const cohereCall = (name: string, args: string): string => `{"tool_name": "${name}", "parameters": ${args}}`;
const kimiCall = (name: string, index: number, args: string): string =>
  `<|tool_call_begin|>functions.${name}:${index}<|tool_call_argument_begin|>${args}<|tool_call_end|>`;
const kimiCalls = (calls: string): string => `<|tool_calls_section_begin|>${calls}<|tool_calls_section_end|>`;
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
  kimi: {
    calls: (calls) => kimiCalls(calls.map(({ name, args }, index) => kimiCall(name, index, json(args))).join('')),
    broken: kimiCalls(kimiCall('weather', 0, half)),
    ...anywhere,
  },
  cohere: {
    calls: (calls) =>
      `<|START_ACTION|>[\n${calls
        .map(({ name, args }, index) => `    {"tool_call_id": "${index}", ${cohereCall(name, json(args)).slice(1)}`)
        .join(',\n')}\n]<|END_ACTION|>`,
    broken: `<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "weather", "parameters": ${half}]<|END_ACTION|>`,
    ...anywhere,
  },
  'cohere, of old': {
    calls: (calls) => `Action:\n\`\`\`json\n[\n${each(calls, ',\n', cohereCall)}\n]\`\`\``,
    broken: `Action:\n\`\`\`json\n[\n{"tool_name": "weather", "parameters": ${half}\n]\`\`\``,
    ...anywhere,
  },
  glm: {
    calls: (calls) => calls.map(glmCall).join('\n'),
    broken: '<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Oslo\n</tool_call>',
    ...anywhere,
  },
  invoke: {
    calls: (calls) => `<minimax:tool_call>\n${calls.map(miniMaxCall).join('\n')}\n</minimax:tool_call>`,
    broken:
      '<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">Oslo\n</invoke>\n</minimax:tool_call>',
    ...anywhere,
  },
  'invoke, with marks': {
    calls: (calls) => `<${dsml}function_calls>\n${calls.map(dsmlCall).join('\n')}\n</${dsml}function_calls>`,
    broken: `<${dsml}function_calls>\n<${dsml}invoke name="weather">\n<${dsml}parameter name="city" string="true">Oslo\n</${dsml}function_calls>`,
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
  listed: {
    calls: (calls) => `<|tool_call|>[${each(calls, ', ', object)}]<|/tool_call|>`,
    broken: `<|tool_call|>[{"name": "weather", "arguments": ${half}]<|/tool_call|>`,
    ...anywhere,
  },
  'listed, of old': {
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
