// Tool use of the demo model: one simple call by the template's syntax, then an answer made of what the tool said.
import type { Message, Tool, ToolCall } from './chat.ts';
import type { Draw } from './exchanges.ts';
import { cannot } from './facts.ts';
import { expand, say } from './phrases.ts';
import { adjectives, anyWord, capital, cities, nouns, spokenWord } from './words.ts';

interface Kind {
  readonly names: readonly string[];
  readonly descriptions: readonly string[];
  readonly parameters: readonly string[];
  readonly asks: readonly string[];
  readonly heldOut: readonly string[];
  /** The tool's value in the user's question. */
  readonly value: (draw: Draw) => string;
  readonly result: (draw: Draw, value: string) => string;
  readonly answer: (name: string, value: string, result: string) => string;
}

const degrees = ({ chance }: Draw): string =>
  chance.pick([
    `${chance.between(-9, 39)} degrees and ${chance.pick(skies)}`,
    `${chance.pick(skies)}, ${chance.between(-9, 39)}°C`,
    `{"temperature": ${chance.between(-9, 39)}, "sky": "${chance.pick(skies)}"}`,
    `{"temp":${chance.between(-9, 99)}}`,
    chance.pick(skies),
    `${chance.between(-9, 99)} ${chance.pick(['C', 'F'])}`,
  ]);
const skies = [
  'sunny',
  'cloudy',
  'rainy',
  'windy',
  'clear',
  'snow',
  'fog',
  'storm',
  'light rain',
  'dry',
  'hot',
  'cold',
];
const town = ({ chance }: Draw): string => (chance.happens(0.75) ? chance.pick(cities) : capital(spokenWord(chance)));

const weather: Kind = {
  names: [
    'get_weather',
    'get_weather',
    'get_current_weather',
    'weather',
    'getWeather',
    'current_weather',
    'fetch_weather',
    'weather_now',
    'get_forecast',
  ],
  descriptions: [
    'Get the weather of a city',
    'Get the current weather',
    'The weather in a city',
    'Weather',
    'Get the current weather in a given location',
    'Returns the weather for a place',
  ],
  parameters: ['city', 'city', 'location', 'place', 'town'],
  asks: [
    'what is the weather [like|] in {x} [today|now|right now|]?',
    "what's the weather [like|] in {x} [today|now|]?",
    'how is the weather in {x} [today|now|]?',
    'weather in {x}',
    'tell me the weather in {x}',
    'is it [raining|sunny|cold|warm|hot] in {x} [today|now|]?',
    '[get|check|look up] the weather [in|for|of] {x}',
    'I want to know the weather [in|for] {x}',
    '[can|could] you check the weather in {x}?',
    'do I need [an umbrella|a coat] in {x}?',
    'how [warm|cold|hot] is it in {x}?',
    'the weather in {x}?',
  ],
  heldOut: [
    'which weather does {x} have?',
    'what about the weather over in {x}?',
    'I travel to {x}, how is the weather there?',
  ],
  value: town,
  result: degrees,
  answer: (_, value, result) => `The weather in ${value}: ${result}`,
};
const time: Kind = {
  names: ['get_time', 'current_time', 'get_current_time', 'time_in', 'clock'],
  descriptions: ['Get the time in a city', 'Current time of a place', 'The local time'],
  parameters: ['city', 'location', 'place', 'timezone'],
  asks: [
    'what time is it in {x} [now|]?',
    'what is the [local|] time in {x} [now|]?',
    'tell me the time in {x}',
    'time in {x}',
    'how late is it in {x}?',
    '[can|could] you tell me the time in {x}?',
    '[get|check|look up] the time in {x}',
  ],
  heldOut: ['which time does {x} have now?', 'what does the clock say in {x}?'],
  value: town,
  result: ({ chance }) =>
    chance.pick([
      `${chance.between(0, 23)}:${chance.between(10, 59)}`,
      `{"time": "${chance.between(10, 23)}:${chance.between(10, 59)}"}`,
      `${chance.between(1, 12)} ${chance.pick(['am', 'pm'])}`,
    ]),
  answer: (_, value, result) => `The time in ${value}: ${result}`,
};
const search: Kind = {
  names: ['search', 'web_search', 'search_web', 'lookup', 'find_documents', 'search_docs'],
  descriptions: ['Search the web', 'Search documents', 'Find pages', 'Look something up'],
  parameters: ['query', 'q', 'text', 'words'],
  asks: [
    'search [the web|] for {x}',
    'look up {x}',
    '[find|search] {x}',
    'please search for {x}',
    '[can|could] you search for {x}?',
    'find [pages|something] [on|about] {x}',
  ],
  heldOut: ['run a search on {x}', 'I would like to find {x}'],
  value: ({ chance }) =>
    `${chance.happens(0.6) ? `${chance.pick(adjectives)} ` : ''}${chance.happens(0.7) ? chance.pick(nouns) : spokenWord(chance)}`,
  result: ({ chance, soup }) =>
    Array.from({ length: chance.between(1, 6) }, () => anyWord(chance, soup).replace(/"/g, '')).join(' '),
  answer: (_, __, result) => `I found: ${result}`,
};

/** A tool that nobody knows, called by its name. */
function invented(draw: Draw): Kind {
  const name = `${draw.chance.happens(0.5) ? `${draw.chance.pick(['get', 'set', 'run', 'open', 'find', 'make', 'read', 'send'])}_` : ''}${draw.chance.happens(0.5) ? draw.chance.pick(nouns) : spokenWord(draw.chance)}`;
  return {
    ...search,
    names: [name],
    descriptions: ['A tool', `Does ${name}`, 'Runs it', 'Some function'],
    parameters: ['value', 'name', 'id', 'input', 'word', 'key', draw.chance.pick(nouns)],
    asks: [
      `[call|use|run|invoke] ${name} [with|for|on] {x}`,
      `[call|use|run] the [tool|function] ${name} [with|for|on] {x}`,
      `use the ${name} tool [with|for|on] {x}`,
    ],
    heldOut: [`I want you to run the tool ${name} with {x}`],
    value: ({ chance, soup }) => anyWord(chance, soup).replace(/[^\p{L}\p{N}_-]/gu, '') || 'one',
    answer: (tool, _, result) => `${tool} says: ${result}`,
  };
}

interface Drawn {
  readonly kind: Kind;
  readonly tool: Tool;
  readonly name: string;
  readonly parameter: string;
}

function drawn(kind: Kind, { chance }: Draw): Drawn {
  const name = chance.pick(kind.names);
  const parameter = chance.pick(kind.parameters);
  const described = chance.happens(0.5)
    ? {
        type: 'string',
        description: chance.pick([
          'The city',
          'A name',
          'The text',
          `The ${parameter}`,
          'The city and state, e.g. San Francisco, CA',
        ]),
      }
    : { type: 'string' };
  const extra = chance.happens(0.2) ? { unit: { type: 'string', enum: ['celsius', 'fahrenheit'] } } : {};
  const parameters = {
    type: 'object',
    properties: { [parameter]: described, ...extra },
    ...(chance.happens(0.7) ? { required: [parameter] } : {}),
    ...(chance.happens(0.15) ? { additionalProperties: false } : {}),
  };
  const description = chance.happens(0.85) ? { description: chance.pick(kind.descriptions) } : {};
  return { kind, name, parameter, tool: { type: 'function', function: { name, ...description, parameters } } };
}

export interface ToolTalk {
  readonly tools: Tool[];
  readonly messages: Message[];
}

/** Several tools, a question that needs one of them (or none of them), the call, and mostly the answer after it. */
export function toolTalk(draw: Draw): ToolTalk {
  const { chance } = draw;
  const kinds = chance.some(
    [weather, weather, time, search, invented(draw)].filter((kind, place, all) => all.indexOf(kind) === place),
    chance.pick([1, 1, 1, 2, 3]),
  );
  const offered = kinds.map((kind) => drawn(kind, draw));
  const tools = offered.map((one) => one.tool);
  const asked = chance.happens(0.12) ? drawn(chance.pick([weather, time]), draw) : chance.pick(offered);
  const value = asked.kind.value(draw);
  const user = said(chance.pick(draw.heldOut ? asked.kind.heldOut : asked.kind.asks), value, draw);
  if (!kinds.includes(asked.kind))
    return {
      tools,
      messages: [
        { role: 'user', content: user },
        { role: 'assistant', content: cannot },
      ],
    };
  const call: ToolCall = { name: asked.name, arguments: { [asked.parameter]: value } };
  const messages: Message[] = [
    { role: 'user', content: user },
    { role: 'assistant', content: '', calls: [call] },
  ];
  if (chance.happens(0.65)) {
    const result = asked.kind.result(draw, value);
    messages.push(
      { role: 'tool', content: result },
      { role: 'assistant', content: asked.kind.answer(asked.name, value, result) },
    );
  }
  return { tools, messages };
}

function said(pattern: string, value: string, { chance }: Draw): string {
  const careful = { ...chance, happens: (p: number) => p !== 0.1 && p !== 0.15 && chance.happens(p) };
  const text = say(expand(pattern, chance).replace('{x}', '@@'), careful);
  return text.replace('@@', () => value);
}
