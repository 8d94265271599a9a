// Loads one model file in a process of its own and prints what came of it as JSON: a native crash then kills only this process.
//   node tests/models/load.ts <file> [prompt]
import { llama } from './reference.ts';

const tokensMax = 64;
const [path = '', prompt] = process.argv.slice(2);

/** What `load.ts` prints on success. */
export interface Loaded {
  readonly name: string;
  readonly architecture: string;
  readonly trainContext: number;
  readonly said: string;
  readonly ended: boolean;
}

const model = await llama.loadModel({ modelPath: path });
const { general } = model.fileInfo.metadata;
const { said, ended } = prompt === undefined ? { said: '', ended: false } : await reply(prompt);
const loaded: Loaded = {
  name: general.name ?? '',
  architecture: general.architecture,
  trainContext: model.trainContextSize,
  said,
  ended,
};
process.stdout.write(JSON.stringify(loaded), () => process.exit(0));

async function reply(words: string): Promise<Pick<Loaded, 'said' | 'ended'>> {
  const context = await model.createContext({ contextSize: 512, threads: 1 });
  const tokens = [];
  // the end of a turn is not handed out: the loop ends with it
  for await (const token of context.getSequence().evaluate(model.tokenize(words, true), { temperature: 0 })) {
    if (tokens.push(token) >= tokensMax) break;
  }
  return { said: model.detokenize(tokens), ended: tokens.length < tokensMax };
}
