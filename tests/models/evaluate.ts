// Examines the demo model greedily on fresh seeds and prints exact matches per ability.
//   node tests/models/evaluate.ts [--model worker/models/demo/berth-demo.gguf] [--cases 40] [--seed 7] [--wrong]
import { parseArgs } from 'node:util';
import { getLlama, type LlamaContextSequence, type LlamaModel } from 'node-llama-cpp';
import { chanceFrom } from './chance.ts';
import { callText, promptOf, type Message, type Tool } from './dialogues/chat.ts';
import { abilities, dialogueOf, needle, type Dialogue } from './dialogues/dialogue.ts';
import { exchangeAbout, type Draw } from './dialogues/exchanges.ts';
import { cannot, facts } from './dialogues/facts.ts';
import { soupOf, spokenWord } from './dialogues/words.ts';
import { probes } from './probes.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'worker/models/demo/berth-demo.gguf' },
    cases: { type: 'string', default: '40' },
    seed: { type: 'string', default: '7' },
    wrong: { type: 'boolean', default: false },
  },
});
const cases = Number(values.cases);
/** Training seeds are 10,000,000 and up; these lie elsewhere. */
const firstSeed = -1_000_000 * Number(values.seed);
const answerTokensMax = 600;

const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 1 });
const model = await llama.loadModel({ modelPath: values.model });
const context = await model.createContext({ contextSize: 2048, sequences: 1, threads: 1 });
const sequence = context.getSequence();
const soup = soupOf((model.fileInfo.metadata.tokenizer.ggml.tokens as string[]).slice(259));

async function answerTo(messages: readonly Message[], tools: readonly Tool[]): Promise<string> {
  return await continuation(model, sequence, promptOf(messages, tools));
}

/** The greedy continuation of a prompt up to the end of the turn. */
async function continuation(from: LlamaModel, on: LlamaContextSequence, prompt: string): Promise<string> {
  await on.clearHistory();
  const tokens = [];
  for await (const token of on.evaluate(from.tokenize(prompt, true), { temperature: 0 })) {
    if (tokens.push(token) >= answerTokensMax) break;
  }
  return from.detokenize(tokens);
}

interface Case {
  readonly messages: readonly Message[];
  readonly tools: readonly Tool[];
  readonly right: string;
}
const caseOf = ({ messages, tools }: Dialogue): Case => {
  const last = messages.at(-1);
  return { messages: messages.slice(0, -1), tools, right: last?.calls ? callText(last.calls) : (last?.content ?? '') };
};
const asked = (user: string, right: string): Case => ({
  messages: [{ role: 'user', content: user }],
  tools: [],
  right,
});

async function score(label: string, examined: readonly Case[]): Promise<void> {
  let right = 0;
  for (const one of examined) {
    const answer = await answerTo(one.messages, one.tools);
    if (answer === one.right) right += 1;
    else if (values.wrong)
      console.log(
        `    ${JSON.stringify(one.messages.at(-1)?.content.slice(-200))}\n      wants ${JSON.stringify(one.right)}\n      has   ${JSON.stringify(answer)}`,
      );
  }
  console.log(`| ${label} | ${right} of ${examined.length} |`);
}

const drawFrom = (seed: number, heldOut: boolean): Draw => ({ chance: chanceFrom(firstSeed - seed), soup, heldOut });
const many = (make: (seed: number) => Case, count = cases): Case[] =>
  Array.from({ length: count }, (_, seed) => make(seed));

console.log(`| ${model.fileInfo.metadata.general.name}, exact answers | |\n|---|---|`);
for (const ability of abilities) {
  await score(
    `${ability}, trained ways of asking`,
    many((seed) => caseOf(dialogueOf(ability, drawFrom(seed, false)))),
  );
  if (ability !== 'mixed')
    await score(
      `${ability}, ways kept out of training`,
      many((seed) => caseOf(dialogueOf(ability, drawFrom(seed + cases, true)))),
    );
}
for (const words of [3, 6, 10, 20]) {
  await score(
    `repeat ${words} invented words`,
    many((seed) => {
      const { chance } = drawFrom(seed, false);
      const text = Array.from({ length: words }, () => spokenWord(chance)).join(' ');
      return asked(`Repeat after me: ${text}`, text);
    }),
  );
}
for (const sentences of [0, 8, 20, 40, 80]) {
  await score(
    `needle in ${sentences} sentences`,
    many((seed) => {
      const { user, assistant } = needle(drawFrom(seed, false), sentences);
      return asked(user, assistant);
    }),
  );
}
for (const [least, most] of [
  [5, 20],
  [21, 60],
  [61, 120],
] as const) {
  await score(
    `count ${least} to ${most} numbers`,
    many(
      (seed) => {
        const { chance } = drawFrom(seed, false);
        const first = chance.between(0, 150);
        const last = first + chance.between(least, most) - 1;
        return asked(
          `Count from ${first} to ${last}.`,
          Array.from({ length: last - first + 1 }, (_, i) => first + i).join(' '),
        );
      },
      Math.ceil(cases / 2),
    ),
  );
}
await score(
  'each fact in ways kept out of training, 3 times',
  facts.flatMap(({ id }) =>
    many((seed) => {
      const { user, assistant } = exchangeAbout(id, drawFrom(seed, true));
      return asked(user, assistant);
    }, 3),
  ),
);
const known = probes.filter(({ id }) => id !== 'unknown');
await score(
  'questions written by hand',
  known.flatMap(({ id, asks }) => asks.map((ask) => asked(ask, exchangeAbout(id, drawFrom(0, false)).assistant))),
);
await score(
  'requests written by hand that it cannot do',
  probes.filter(({ id }) => id === 'unknown').flatMap(({ asks }) => asks.map((ask) => asked(ask, cannot))),
);
await llama.dispose();
