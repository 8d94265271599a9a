// The process that looks at model files before anything else does: what kills it, or fills its memory, harms nobody.
import { BadGguf } from './gguf-input.ts';
import { readGguf, readWholeFacts } from './gguf.ts';
import type { CheckReply, CheckTask } from './checker.ts';

// The worker decides when this ends, not Ctrl-C, which reaches the whole process group.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit());
process.on('message', (task: CheckTask) => {
  void answer(task).then((reply) => process.send?.(reply));
});

async function answer(task: CheckTask): Promise<CheckReply> {
  try {
    if (typeof task === 'string') return { kind: 'good', header: await readGguf(task) };
    return { kind: 'facts', json: await readWholeFacts(task.factsOf) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { kind: error instanceof BadGguf ? 'bad' : 'failed', message };
  }
}
