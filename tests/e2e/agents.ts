// The loops in which agents work: ask, run the tools that were called, tell their results, until an answer comes. Each
// client's own loop where it has one, else the one that its documentation shows.
import { importClient, loadClient, ollamaClient, openaiPackage, openaiVersions } from './clients.ts';
import type { OllamaPart } from './clients.ts';
import { aiSdk, langchain } from './frameworks.ts';
import type { Message, Zod } from './frameworks.ts';

/** What an agent has answered, and what its tool was called with. */
interface Worked {
  text: string;
  calls: { a: number; b: number }[];
}

export type Agent = (url: string, streamed: boolean) => Promise<Worked>;

export const adder = 'adder';
const question = 'What is 1 + 2 + 3 + 4?';
const description = 'Adds two numbers';
const roundsMax = 5;

/** The tool, which remembers its calls. */
function tool() {
  const calls: Worked['calls'] = [];
  const add = ({ a, b }: { a: number; b: number }): string => {
    calls.push({ a, b });
    return String(a + b);
  };
  return { calls, add };
}

function numbers({ z }: Zod): object {
  return z.object({ a: z.number(), b: z.number() });
}

/** `runTools`, with the tool described by zod (which makes it strict) or by hand. */
function openaiAgent(name: (typeof openaiVersions)[number], strict: boolean): Agent {
  return async (url, streamed) => {
    const { calls, add } = tool();
    const client = new (openaiPackage(name).OpenAI)({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const { zodFunction } = loadClient<{ zodFunction(of: object): object }>(`${name}/helpers/zod`);
    const parameters = numbers(loadClient<Zod>('zod'));
    const byHand = {
      type: 'function',
      function: { name: 'add', description, parameters: schema, parse: JSON.parse, function: add },
    };
    const tools = [strict ? zodFunction({ name: 'add', description, parameters, function: add }) : byHand];
    const body = { model: adder, messages: [{ role: 'user', content: question }], tools, temperature: 0 };
    const runner = client.chat.completions.runTools(streamed ? { ...body, stream: true } : body);
    return { text: (await runner.finalContent()) ?? '', calls };
  };
}

const schema = {
  type: 'object',
  properties: { a: { type: 'number' }, b: { type: 'number' } },
  required: ['a', 'b'],
};

type OllamaMessage = OllamaPart['message'];

/** As ollama-js's own examples have it. */
const ollamaAgent: Agent = async (url, streamed) => {
  const { calls, add } = tool();
  const client = ollamaClient(url);
  const messages: object[] = [{ role: 'user', content: question }];
  const tools = [{ type: 'function', function: { name: 'add', description, parameters: schema } }];
  const ask = async (): Promise<OllamaMessage> => {
    const body = { model: adder, messages, tools, options: { temperature: 0 } };
    if (!streamed) return (await client.chat(body)).message;
    const whole: Required<OllamaMessage> = { role: 'assistant', content: '', tool_calls: [] };
    for await (const { message } of await client.chat({ ...body, stream: true })) {
      whole.content += message.content;
      whole.tool_calls.push(...(message.tool_calls ?? []));
    }
    return whole;
  };
  for (let round = 0; round < roundsMax; round += 1) {
    const message = await ask();
    messages.push(message);
    if (!message.tool_calls?.length) return { text: message.content, calls };
    for (const { function: called } of message.tool_calls)
      messages.push({ role: 'tool', tool_name: called.name, content: add(called.arguments) });
  }
  throw new Error(`no answer after ${roundsMax} rounds`);
};

interface AiTools {
  tool(of: object): object;
  stepCountIs(count: number): object;
}

function aiAgent(provider: 'openai' | 'openai-compatible' | 'ollama'): Agent {
  return async (url, streamed) => {
    const { calls, add } = tool();
    const ai = await aiSdk();
    const { tool: aiTool, stepCountIs } = await importClient<AiTools>('ai');
    const inputSchema = numbers(await importClient<Zod>('zod'));
    const asked = {
      model: ai.model(provider, url, adder),
      prompt: question,
      temperature: 0,
      maxRetries: 0,
      tools: { add: aiTool({ description, inputSchema, execute: add }) },
      stopWhen: stepCountIs(roundsMax),
    };
    if (!streamed) return { text: (await ai.generateText(asked)).text, calls };
    return { text: await ai.streamText(asked).text, calls };
  };
}

/** As LangChain's documentation of tool calling has it: the model with its tools bound, and a loop around it. */
function langchainAgent(name: 'ChatOpenAI' | 'ChatOllama'): Agent {
  return async (url, streamed) => {
    const { calls, add } = tool();
    const { tool: made } = loadClient<{
      tool(run: typeof add, of: object): { invoke(call: object): Promise<object> };
    }>('@langchain/core/tools');
    const { HumanMessage } = loadClient<{ HumanMessage: new (text: string) => object }>('@langchain/core/messages');
    const adding = made(add, { name: 'add', description, schema: numbers(loadClient<Zod>('zod')) });
    const model = langchain(name, url, { model: adder, temperature: 0 }).bindTools([adding]);
    const messages: object[] = [new HumanMessage(question)];
    const ask = async (): Promise<Message> => {
      if (!streamed) return await model.invoke(messages);
      let whole: Message | null = null;
      for await (const part of await model.stream(messages)) whole = whole === null ? part : whole.concat(part);
      if (whole === null) throw new Error('the stream was empty');
      return whole;
    };
    for (let round = 0; round < roundsMax; round += 1) {
      const message = await ask();
      messages.push(message);
      if (!message.tool_calls?.length) return { text: message.content, calls };
      for (const call of message.tool_calls) messages.push(await adding.invoke(call));
    }
    throw new Error(`no answer after ${roundsMax} rounds`);
  };
}

export const agents: readonly (readonly [string, Agent])[] = [
  ...openaiVersions.map((name) => [`${name}, runTools`, openaiAgent(name, false)] as const),
  ['openai, runTools with zod', openaiAgent('openai', true)],
  ['ollama', ollamaAgent],
  ['AI SDK, openai', aiAgent('openai')],
  ['AI SDK, openai-compatible', aiAgent('openai-compatible')],
  ['AI SDK, ollama', aiAgent('ollama')],
  ['ChatOpenAI', langchainAgent('ChatOpenAI')],
  ['ChatOllama', langchainAgent('ChatOllama')],
];
