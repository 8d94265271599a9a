// The whole distribution of a model after a text, greedily token by token, in a process of its own, by the package's
// public API: what an engine's scores are compared with. Prints for each step the token and [token, probability] of all.
//   node tests/models/distribution.ts <file> <text> <steps>
import { llama } from './reference.ts';

const [path = '', text = '', steps = '1'] = process.argv.slice(2);
const model = await llama.loadModel({ modelPath: path });
const context = await model.createContext({ contextSize: 512, threads: 1 });
const sequence = context.getSequence();
const { bos, shouldPrependBosToken } = model.tokens;
const prompt = [...(shouldPrependBosToken && bos !== null ? [bos] : []), ...model.tokenize(text)];
const said: { token: number; all: [token: number, probability: number][] }[] = [];
const answer = sequence.evaluateWithMetadata(prompt, { probabilities: true }, { temperature: 0, yieldEogToken: true });
for await (const { token, probabilities } of answer) {
  said.push({ token, all: [...probabilities] });
  if (said.length >= Number(steps)) break;
}
process.stdout.write(JSON.stringify(said), () => process.exit(0));
