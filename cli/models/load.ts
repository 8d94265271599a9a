// `berth models load` and `unload`: a model is there before somebody asks for it, or goes before its time.
import { call } from '../api.ts';
import { Failed } from '../command.ts';
import type { Command, World } from '../command.ts';
import { copiesOf } from './list.ts';
import type { Copy } from './list.ts';

export const loadModel: Command = {
  name: 'models load',
  about: 'loads a model now, so that the first request need not wait for it',
  help: `  --worker WORKER      there; left out, where there is room
  --keep-alive TIME    how long it stays when nobody uses it: 30m, 0 = not at all, -1 = for ever (KEEP_ALIVE)

  berth models load llama3.1:8b --keep-alive 12h`,
  options: { worker: { type: 'string' }, 'keep-alive': { type: 'string' } },
  words: ['MODEL'],
  async run({ words: [model], options }, world) {
    const { worker, 'keep-alive': keepAlive } = options;
    if (worker !== undefined) await call(world, 'POST', '/admin/preload', { model, worker });
    // On a certain worker too: of a model that is there only the time is set, by Ollama's empty prompt.
    if (worker === undefined || keepAlive !== undefined) {
      const wish = keepAlive === undefined ? {} : { keep_alive: keepAliveOf(String(keepAlive)) };
      await call(world, 'POST', '/api/generate', { model, stream: false, ...wish });
    }
    world.say(
      worker === undefined ? `${model} is loaded.` : `${model} is loaded on ${String(worker)}, or about to be.`,
    );
  },
};

export const unloadModel: Command = {
  name: 'models unload',
  about: 'unloads a model on every worker that has it loaded and idle; its file stays',
  help: 'It is asked for a few seconds: what is in use, or pinned, stays, and the exit code is 1.',
  options: {},
  words: ['MODEL'],
  async run({ words: [model] }, world) {
    let asked = false;
    for (let tries = 0; tries < triesMax; tries += 1) {
      const loaded = await loadedOf(world, model);
      if (loaded.length === 0) return world.say(asked ? `${model} is unloaded.` : `${model} is not loaded.`);
      // Each of these reaches one worker that serves it, and the next one another.
      for (const _copy of loaded) await call(world, 'POST', '/api/generate', { model, stream: false, keep_alive: 0 });
      asked = true;
      await world.pause(lookMs);
    }
    const workers = (await loadedOf(world, model)).map(({ worker }) => worker);
    throw new Failed(`${model} is still loaded on ${workers.join(', ')}: it is in use, or pinned (berth models unpin)`);
  },
};

const triesMax = 60;
const lookMs = 100;

async function loadedOf(world: World, typed = ''): Promise<Copy[]> {
  const copies = await copiesOf(world);
  return copies.filter(({ model, state }) => state === 'loaded' && (model === typed || model === `${typed}:latest`));
}

/** A number of seconds is sent as one, as Ollama wants it. */
function keepAliveOf(text: string): string | number {
  return /^-?\d+$/.test(text) ? Number(text) : text;
}
