// The process that looks at model files before anything else does: what kills it, or fills its memory, harms nobody.
import { BadGguf } from './gguf-input.ts';
import { readGguf } from './gguf.ts';
import type { CheckReply } from './checker.ts';

// The worker decides when this ends, not Ctrl-C, which reaches the whole process group.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit());
process.on('message', (path: string) => {
  void check(path).then((reply) => process.send?.(reply));
});

async function check(path: string): Promise<CheckReply> {
  try {
    return { kind: 'good', header: await readGguf(path) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { kind: error instanceof BadGguf ? 'bad' : 'failed', message };
  }
}
