// How a request gets a sequence: chosen by what it knows, saved before it is overwritten, filled from where it pays.
import type { Binding } from './binding.ts';
import { chooseSequence, worthSaving } from './prefix.ts';
import type { SavingCost } from './prefix.ts';
import type { PromptCache, SavedPrefix } from './prompt-cache.ts';
import type { Run, Sequence } from './run.ts';

interface Seat {
  sequence: Sequence;
  /** Leading prompt tokens that it has. */
  kept: number;
  /** Whether a file was written or read, which makes everybody wait a little. */
  paused: boolean;
}

export interface Seating {
  /** Gives one of the idle sequences to a request; `null` when there is none. */
  seat(run: Run, idle: readonly Sequence[], busy: readonly Sequence[], cost: PauseCost): Promise<Seat | null>;
  /** Saves what idle sequences hold, the last used first, until the time is up. */
  saveAll(idle: readonly Sequence[], withinMs: number): Promise<void>;
}

interface PauseCost {
  /** What everybody may be kept waiting by a save. */
  pauseMsMax: number;
  /** Prompt tokens per millisecond, `null` = not known yet. */
  tokensPerMs: number | null;
}

/** @param cache `null` = switched off */
export function createSeating(binding: Binding, cache: PromptCache | null, now: () => number): Seating {
  async function seat(
    run: Run,
    idle: readonly Sequence[],
    busy: readonly Sequence[],
    cost: PauseCost,
  ): Promise<Seat | null> {
    // A copy that waits for the next batch would overwrite what a file brings.
    const files = idle.every(({ settled }) => settled) ? (cache?.saved() ?? []) : [];
    const choice = chooseSequence(idle, busy, files, run.scope, run.prompt, binding.contextTokens);
    if (choice === null) return null;
    const { sequence, from } = choice;
    const saved = await save(sequence, from === null ? choice.reuse : 0, cost);
    if (from?.kind === 'file' && !(await restored(sequence, from.saved))) {
      const instead = await seat(run, idle, busy, cost); // the file is forgotten now, so this ends
      return instead && { ...instead, paused: true };
    }
    if (from?.kind === 'copy') await copied(sequence, from.sequence);
    const kept = sequence.tokens.length === 0 ? 0 : await binding.keep(sequence.index, choice.reuse);
    return { sequence, kept, paused: saved || from?.kind === 'file' };
  }

  /** @returns whether it was saved */
  async function save({ index, scope, tokens, settled }: Sequence, reuse: number, cost: PauseCost): Promise<boolean> {
    if (cache === null || scope === null || !settled) return false;
    if (!worthSaving(tokens.length, reuse, savingCost(tokens.length, cost)) || cache.has({ scope, tokens }))
      return false;
    await cache.save(index, { scope, tokens });
    return true;
  }

  function savingCost(tokens: number, { pauseMsMax, tokensPerMs }: PauseCost): SavingCost {
    const saveMs = cache?.saveMs(tokens) ?? 0;
    return { saveMs, rereadMs: tokensPerMs === null ? Infinity : tokens / tokensPerMs, pauseMsMax };
  }

  async function restored(sequence: Sequence, saved: SavedPrefix): Promise<boolean> {
    sequence.scope = saved.scope;
    sequence.tokens = [];
    const done = (await cache?.restore(sequence.index, saved)) ?? false;
    if (done) sequence.tokens = Array.from(saved.tokens);
    else await binding.keep(sequence.index, 0);
    return done;
  }

  async function copied(sequence: Sequence, source: Sequence): Promise<void> {
    await binding.copy(sequence.index, source.index);
    sequence.tokens = source.tokens.slice();
    sequence.settled = false;
  }

  async function saveAll(idle: readonly Sequence[], withinMs: number): Promise<void> {
    const until = now() + withinMs;
    for (const sequence of idle.toSorted((a, b) => b.usedAt - a.usedAt)) {
      await save(sequence, 0, { pauseMsMax: until - now(), tokensPerMs: null });
    }
  }

  return { seat, saveAll };
}
