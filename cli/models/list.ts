// `berth models list`: every model of the pool, on which workers it is, and what it takes there.
import { call } from '../api.ts';
import type { Command, World } from '../command.ts';
import { size } from '../doctor/finding.ts';
import { table } from '../table.ts';

export interface Copy {
  model: string;
  worker: string;
  state: 'loaded' | 'on disk' | 'failed';
  /** Of a failure. */
  why: string | null;
  sizeBytes: number;
  /** Memory of the device that it takes; 0 = it is not loaded, or on a processor. */
  vramBytes: number;
  contextTokens: number;
  /** When it is unloaded if nobody asks for it, ms since the Unix epoch; `null` = busy, pinned or not loaded. */
  expiresAt: number | null;
  pinned: boolean;
}

export const listModels: Command = {
  name: 'models list',
  about: 'lists the models of the pool: on which workers, loaded or not, their size and until when they stay',
  help: `  --json    for a program; also when the result is piped

Other commands say what to do with a model: pull, load, unload, pin, unpin, move. "berth models" alone lists them too.`,
  options: { json: { type: 'boolean' } },
  words: [],
  async run({ options }, world) {
    const copies = await copiesOf(world);
    if (options['json'] === true || !world.terminal) return world.say(JSON.stringify(copies, null, 2));
    world.say(copies.length === 0 ? 'No worker has a model.' : shown(copies, world.clock.now()));
  },
};

export async function copiesOf(world: World): Promise<Copy[]> {
  const { models } = (await call(world, 'GET', '/admin/placement')) as { models: Copy[] };
  return models;
}

function shown(copies: readonly Copy[], nowMs: number): string {
  const rows = copies.map((copy) => [
    copy.model,
    copy.worker,
    copy.state,
    size(copy.vramBytes || copy.sizeBytes),
    String(copy.contextTokens),
    copy.why ?? stays(copy, nowMs),
  ]);
  return table([['MODEL', 'WORKER', 'STATE', 'SIZE', 'CONTEXT', 'STAYS'], ...rows]);
}

function stays({ state, pinned, expiresAt }: Copy, nowMs: number): string {
  if (pinned) return 'pinned';
  if (state !== 'loaded') return '';
  if (expiresAt === null) return 'in use';
  const seconds = Math.max(0, Math.round((expiresAt - nowMs) / 1_000));
  // Further away than a year is for ever.
  if (seconds > 31_536_000) return 'for ever';
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
