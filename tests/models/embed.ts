// Embeds texts in a process of its own and prints their vectors as JSON.
//   node tests/models/embed.ts <file> <text>…
import { llama } from './reference.ts';

const [path = '', ...texts] = process.argv.slice(2);
const model = await llama.loadModel({ modelPath: path });
const context = await model.createEmbeddingContext({ contextSize: 512, threads: 1 });
const vectors: (readonly number[])[] = [];
for (const text of texts) vectors.push((await context.getEmbeddingFor(text)).vector);
process.stdout.write(JSON.stringify(vectors), () => process.exit(0));
