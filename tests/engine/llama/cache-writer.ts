// A process that saves a prompt whenever it is told how many tokens it shall have: one of two that share a folder.
import { writeFile } from 'node:fs/promises';
import { openPromptCache } from '../../../worker/engine/llama/prompt-cache.ts';

const [folder = '', bytesMax = '0', name = ''] = process.argv.slice(2);
const cache = await openPromptCache({
  folder,
  bytesMax: Number(bytesMax),
  identity: [name],
  binding: {
    cellBytes: 1_000,
    // As llama.cpp does: so much for each token, and something at the beginning.
    save: async (_sequence, path, tokens) => {
      await writeFile(path, Buffer.alloc(700 + tokens.length * 900));
      return 700 + tokens.length * 900;
    },
    load: async () => new Uint32Array(),
  },
  now: () => performance.now(),
  note: (message) => process.send?.({ note: message }),
});
let first = 0;
async function save(tokens: number): Promise<void> {
  first += 1;
  await cache.save(0, { scope: name, tokens: Array.from({ length: tokens }, (_, at) => first * 1_000 + at) });
  process.send?.({ saved: cache.saved().length });
}
process.on('message', (tokens: number) => void save(tokens));
process.send?.({ saved: 0 });
