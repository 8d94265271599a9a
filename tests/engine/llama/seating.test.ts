// Whose cells a slot holds: random histories of two teams on a few slots, with copies, files and broken files; what a
// request finds in its slot is its own team's, and a slot whose team changes is emptied first.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PromptCache, SavedPrefix } from '../../../worker/engine/llama/prompt-cache.ts';
import { startRun } from '../../../worker/engine/llama/run.ts';
import type { Run, Sequence } from '../../../worker/engine/llama/run.ts';
import { createSeating } from '../../../worker/engine/llama/seating.ts';

interface Cell {
  team: string;
  token: number;
}

const slots = 3;
/** Both teams ask about the same texts, so that what the other has had read would be worth a lot. */
const texts = [0, 1].map((text) => Array.from({ length: 200 }, (_, at) => text * 1_000 + at));

/** What a context does with the cells of its sequences, as `Binding` says it. */
function aContext() {
  const cells: Cell[][] = Array.from({ length: slots }, () => []);
  const done = { copies: 0, saves: 0, restores: 0, broken: 0 };
  const files = new Map<SavedPrefix, Cell[]>();
  const binding = {
    contextTokens: 512,
    async keep(index: number, length: number) {
      cells[index]?.splice(length);
      return length;
    },
    async copy(target: number, source: number) {
      done.copies += 1;
      cells[target] = [...(cells[source] ?? [])];
    },
  };
  let breaks = false;
  const cache: PromptCache = {
    saved: () => [...files.keys()],
    has: ({ scope, tokens }) =>
      [...files.keys()].some((file) => file.scope === scope && file.tokens.length >= tokens.length),
    saveMs: () => 0,
    async save(index, { scope, tokens }) {
      done.saves += 1;
      const file = { id: '', scope, tokens: Uint32Array.from(tokens), bytes: 0, changedNs: '' };
      files.set(file, [...(cells[index] ?? [])]);
    },
    async restore(index, saved) {
      cells[index] = [...(files.get(saved) ?? [])];
      if (!breaks) done.restores += 1;
      else files.delete(saved);
      done.broken += breaks ? 1 : 0;
      return !breaks;
    },
  };
  return { cells, binding, cache, done, breakFiles: (broken: boolean) => void (breaks = broken) };
}

const step = fc.record({
  team: fc.constantFrom('red', 'blue'),
  text: fc.constantFrom(0, 1),
  common: fc.integer({ min: 1, max: 200 }),
  own: fc.integer({ min: 1, max: 120 }),
  answer: fc.integer({ min: 0, max: 40 }),
  /** How much of its prompt is read before it is aborted; 1 = it is not. */
  read: fc.constantFrom(0, 0.5, 1, 1, 1),
  lasts: fc.integer({ min: 0, max: 3 }),
  broken: fc.boolean(),
});

test('a request finds nothing but its own team’s tokens in its slot, and exactly those of its prompt', async () => {
  const seen = { copies: 0, saves: 0, restores: 0, broken: 0, reused: 0, changed: 0 };
  const history = async (steps: (typeof step extends fc.Arbitrary<infer T> ? T : never)[]) => {
    const { cells, binding, cache, done, breakFiles } = aContext();
    const seating = createSeating(binding as never, cache, () => 0);
    const sequences = cells.map((_, index): Sequence => ({ index, scope: null, tokens: [], usedAt: 0, settled: true }));
    const busy = new Map<Sequence, number>();
    for (const [at, { team, text, common, own, answer, read, lasts, broken }] of steps.entries()) {
      for (const [sequence, until] of busy) if (until <= at || busy.size === slots) busy.delete(sequence);
      breakFiles(broken);
      const tail = Array.from({ length: own }, (_, index) => 10_000 * (at + 1) + index);
      const prompt = Uint32Array.from([...(texts[text] ?? []).slice(0, common), ...tail]);
      const run = { scope: team, prompt } as unknown as Run;
      const idle = sequences.filter((sequence) => !busy.has(sequence));
      const before = new Map(idle.map(({ index, scope }) => [index, scope]));
      const cost = { pauseMsMax: 1_000, tokensPerMs: 1 };
      const seat = await seating.seat(run, idle, [...busy.keys()], cost);
      if (seat === null) throw new Error('there is an idle slot');
      const { sequence, kept } = seat;
      const held = cells[sequence.index] ?? [];
      expect(held).toEqual(Array.from(prompt.subarray(0, kept), (token) => ({ team, token })));
      seen.reused += kept > 0 ? 1 : 0;
      if (before.get(sequence.index) !== null && before.get(sequence.index) !== team) seen.changed += 1;
      startRun(run, sequence, kept, 0);
      sequence.usedAt = at + 1;
      const upTo = kept + Math.floor((prompt.length - kept) * read);
      const more = [...prompt.subarray(kept, upTo), ...(read === 1 ? Array.from({ length: answer }, () => at) : [])];
      for (const token of more) {
        sequence.tokens.push(token);
        held.push({ team, token });
      }
      if (more.length > 0) for (const each of sequences) each.settled = true;
      if (lasts > 0) busy.set(sequence, at + 1 + lasts);
    }
    for (const what of ['copies', 'saves', 'restores', 'broken'] as const) seen[what] += done[what];
  };
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), history), { numRuns: 150 });
  // Histories in which nothing of this happens would prove nothing.
  for (const [what, times] of Object.entries(seen)) expect([what, times > 10]).toEqual([what, true]);
});
