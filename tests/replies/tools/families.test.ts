// Every family's tool calls are found, however the text is cut into pieces, and nothing that a model wrote is lost.
import type { Tool } from '@berth/shared/request.ts';
import { callFinder } from '@berth/worker/replies/tools/calls.ts';
import { channels } from '@berth/worker/replies/tools/channels.ts';
import { cohere } from '@berth/worker/replies/tools/cohere.ts';
import { deepseek } from '@berth/worker/replies/tools/deepseek.ts';
import { families, syntaxOf } from '@berth/worker/replies/tools/families.ts';
import { gemma } from '@berth/worker/replies/tools/gemma.ts';
import { generic } from '@berth/worker/replies/tools/generic.ts';
import { glm } from '@berth/worker/replies/tools/glm.ts';
import { hermes } from '@berth/worker/replies/tools/hermes.ts';
import { invoke } from '@berth/worker/replies/tools/invoke.ts';
import { kimi } from '@berth/worker/replies/tools/kimi.ts';
import { listed } from '@berth/worker/replies/tools/listed.ts';
import { llama3 } from '@berth/worker/replies/tools/llama3.ts';
import { mistral } from '@berth/worker/replies/tools/mistral.ts';
import { qwenCoder } from '@berth/worker/replies/tools/qwen-coder.ts';
import type { ToolSyntax } from '@berth/worker/replies/tools/syntax.ts';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const tools: Tool[] = ['weather', 'time', 'function'].map((name) => ({
  name,
  description: '',
  parameters: { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } } },
}));

const weather = { city: 'Zürich "]}" </tool_call>', days: 2 };
const time = { city: 'Oslo' };
const one = JSON.stringify(weather);
const two = JSON.stringify(time);

/** What a family's models write for one call, and for two with words before them where it can. */
const spoken: [family: ToolSyntax, one: string, two: string | null][] = [
  [
    hermes,
    `<tool_call>\n{"name": "weather", "arguments": ${one}}\n</tool_call>`,
    `Let me see.\n\n<tool_call>\n{"name": "weather", "arguments": ${one}}\n</tool_call>\n<tool_call>{"name":"time","arguments":${two}}</tool_call>`,
  ],
  [
    qwenCoder,
    `<tool_call>\n<function=weather>\n<parameter=city>\n${weather.city}\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>`,
    `Let me see.\n<tool_call>{"name": "weather", "arguments": ${one}}</tool_call><function=time><parameter=city>Oslo</parameter></function>`,
  ],
  [
    llama3,
    `{"name": "weather", "parameters": ${one}}`,
    `<|python_tag|>{"name": "weather", "parameters": ${one}}; {"name": "time", "parameters": ${two}}`,
  ],
  [
    mistral,
    `[TOOL_CALLS]weather[ARGS]${one}`,
    `Let me see.[TOOL_CALLS][{"name": "weather", "arguments": ${one}, "id": "abcdefghi"}, {"name": "time", "arguments": ${two}}]`,
  ],
  [
    mistral,
    `[TOOL_CALLS]weather[CALL_ID]abcdefghi[ARGS]${one}`,
    `[TOOL_CALLS]weather[ARGS]${one}[TOOL_CALLS]time${two}`,
  ],
  [
    deepseek,
    `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>${one}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    `Let me see.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n\`\`\`json\n${one}\n\`\`\`<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>time\n\`\`\`json\n${two}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
  ],
  [
    kimi,
    `<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>${one}<|tool_call_end|><|tool_calls_section_end|>`,
    `Let me see.<|tool_call_begin|> functions.weather:7 <|tool_call_argument_begin|> ${one} <|tool_call_end|>\n<|tool_call_begin|>time<|tool_call_argument_begin|>${two}<|tool_call_end|>`,
  ],
  [
    cohere,
    `<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "weather", "parameters": ${one}}\n]<|END_ACTION|>`,
    `Let me see.<|START_ACTION|>[{"tool_name": "weather", "parameters": ${one}}, {"parameters": ${two}, "tool_name": "time"}]<|END_ACTION|>`,
  ],
  [
    cohere,
    `Action:\n\`\`\`json\n[\n    {\n        "tool_name": "weather",\n        "parameters": ${one}\n    }\n]\`\`\``,
    `Let me see.\nAction: \`\`\`json\n[{"tool_name": "weather", "parameters": ${one}}, {"tool_name": "time", "parameters": ${two}}]\n\`\`\``,
  ],
  [
    glm,
    `<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>${weather.city}</arg_value>\n<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>`,
    `Let me see.\n<tool_call>{"name": "weather", "arguments": ${one}}</tool_call><tool_call>time<arg_key>city</arg_key><arg_value>Oslo</arg_value></tool_call>`,
  ],
  [
    invoke,
    `<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">${weather.city}</parameter>\n<parameter name="days">2</parameter>\n</invoke>\n</minimax:tool_call>`,
    `Let me see.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name="weather">\n<｜DSML｜parameter name="city" string="true">${weather.city}</｜DSML｜parameter>\n<｜DSML｜parameter name="days" string="false">2</｜DSML｜parameter>\n</｜DSML｜invoke>\n{"name": "time", "arguments": ${two}}</｜DSML｜function_calls>`,
  ],
  [
    gemma,
    `<|tool_call>call:weather{city:<|"|>${weather.city}<|"|>,days:2}<tool_call|>`,
    `Let me see.<|tool_call>{"name": "weather", "arguments": ${one}}<tool_call|><|tool_call>call:time{city:<|"|>Oslo<|"|>}<tool_call|>`,
  ],
  [
    channels,
    `<|channel|>commentary to=functions.weather<|message|>${one}<|call|>`,
    `Let me see.<|channel|>commentary to=functions.weather<|message|>${one}<|call|><|channel|>commentary to=functions.time<|message|>${two}`,
  ],
  [
    listed,
    `<|tool_call|>[{"name": "weather", "arguments": ${one}}]<|/tool_call|>`,
    `functools[{"name": "weather", "arguments": ${one}}, {"name": "time", "arguments": ${two}}]`,
  ],
  [
    listed,
    `<TOOLCALL>[{"name": "weather", "arguments": ${one}}]</TOOLCALL>`,
    `Let me see.\n<tool_calls>\n{"name": "weather", "arguments": ${one}}\n{"name": "time", "arguments": ${two}}\n</tool_calls>`,
  ],
  [
    generic,
    `{"name": "weather", "arguments": ${one}}`,
    `\`\`\`json\n[{"name": "weather", "arguments": ${one}}, {"arguments": ${two}, "name": "time"}]\n\`\`\``,
  ],
];

interface Heard {
  text: string;
  calls: { name: string; arguments: unknown }[];
  /** Names and arguments as a client of a streamed reply puts them together. */
  pieced: { name: string; arguments: string }[];
}

function hear(family: ToolSyntax, pieces: readonly string[], inPieces: boolean): Heard {
  const finder = callFinder(family, tools, inPieces);
  const heard: Heard = { text: '', calls: [], pieced: [] };
  for (const segment of [...pieces.flatMap((piece) => finder.push(piece)), ...finder.flush()]) {
    if (segment.kind === 'text') heard.text += segment.text;
    else if (segment.kind === 'begins') heard.pieced.push({ name: segment.name, arguments: '' });
    else if (segment.kind === 'arguments') heard.pieced.at(-1)!.arguments += segment.text;
    else {
      heard.calls.push({ name: segment.name, arguments: segment.arguments });
      if (!segment.begun) heard.pieced.push({ name: segment.name, arguments: segment.written });
    }
  }
  return heard;
}

function cut(text: string, cuts: readonly number[]): string[] {
  const places = [0, ...cuts.map((place) => place % (text.length + 1)), text.length].toSorted((a, b) => a - b);
  return places.slice(1).map((place, index) => text.slice(places[index], place));
}

const expected = [
  { name: 'weather', arguments: weather },
  { name: 'time', arguments: time },
];

describe.each(spoken)('$name', (family, single, several) => {
  test('finds one call', () => {
    expect(hear(family, [single], false)).toMatchObject({ text: '', calls: expected.slice(0, 1) });
  });

  test('finds several calls, and passes on the words before them', () => {
    if (several === null) return;
    const { text, calls } = hear(family, [several], false);
    expect(calls).toEqual(expected);
    expect(text).toBe(several.startsWith('Let me see.') ? 'Let me see.' : '');
  });

  test('hears the same for every cut of the text, in pieces or whole', () => {
    const written = [single, several ?? single];
    fc.assert(
      fc.property(fc.constantFrom(...written), fc.array(fc.nat(500)), fc.boolean(), (text, cuts, inPieces) => {
        const heard = hear(family, cut(text, cuts), inPieces);
        expect(heard).toEqual(hear(family, [text], inPieces));
        expect(heard.pieced.map((call) => ({ ...call, arguments: JSON.parse(call.arguments) }))).toEqual(heard.calls);
      }),
    );
  });

  test('an answer that is cut off at any place keeps every character that belongs to no call', () => {
    const text = several ?? single;
    for (let length = 0; length <= text.length; length += 1) {
      const head = text.slice(0, length);
      const heard = hear(family, head.split(''), false);
      if (heard.calls.length === 0) expect(heard.text).toBe(head);
      expect(hear(family, [head], false)).toEqual(heard);
    }
  });

  test('loses nothing of a text full of its tags that has no call', () => {
    const fragments = [
      ...family.opens,
      ...family.opensAnswer,
      ...family.tags,
      '{"name":',
      '"f"',
      ' ',
      '\n',
      ':',
      '}',
      'é',
      ']',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...fragments), { maxLength: 12 }), fc.array(fc.nat(200)), (words, cuts) => {
        const text = words.join('');
        const heard = hear(family, cut(text, cuts), false);
        expect(heard).toEqual(hear(family, [text], false));
        if (heard.calls.length === 0) expect(heard.text).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  test('passes plain text on without waiting for more', () => {
    const finder = callFinder(family, tools, true);
    expect(finder.push('The answer is 42, or not')).toEqual([{ kind: 'text', text: 'The answer is 42, or not' }]);
  });
});

describe('streaming a call', () => {
  test('tells its name as soon as its arguments begin, and them as they come', () => {
    const finder = callFinder(hermes, tools, true);
    expect(finder.push('<tool_call>{"name":"time","arguments":{')).toEqual([]);
    expect(finder.push('"ci')).toEqual([
      { kind: 'begins', name: 'time' },
      { kind: 'arguments', text: '{"ci' },
    ]);
    expect(finder.push('ty":"Oslo"')).toEqual([{ kind: 'arguments', text: 'ty":"Oslo"' }]);
    expect(finder.push('}}').map(({ kind }) => kind)).toEqual(['arguments', 'call']);
  });

  test('does not hold back an answer in JSON that is no call', () => {
    const finder = callFinder(generic, tools, true);
    expect(finder.push('{"answer": ').map(({ kind }) => kind)).toContain('text');
  });

  test('a name that is not offered makes no call where no tag says that it is one', () => {
    const written = '{"name": "Anna", "parameters": {}}';
    expect(hear(llama3, [written], true)).toEqual({ text: written, calls: [], pieced: [] });
  });
});

describe('the family of a template', () => {
  test.each(families.slice(0, -1).map((family) => [family.name, family] as const))(
    '%s is told by its tags',
    (_, family) => {
      expect(
        family.knows([...family.opens, ...family.tags].join(' ') + (family === llama3 ? '<|start_header_id|>' : '')),
      ).toBe(true);
    },
  );

  test('a template without any mark, and none at all, are read generically', () => {
    expect(syntaxOf('{{ tools }}')).toBe(generic);
    expect(syntaxOf(null)).toBe(generic);
  });
});
