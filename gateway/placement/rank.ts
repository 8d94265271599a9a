// Which workers a job would rather run on. Pure: data in, an order out; the ledger takes the first with room.
import { hash } from 'node:crypto';
import type { Job } from '../job.ts';

/** The ledger looks at no more (`Take.prefer`). */
const preferMax = 4;
/** So much of each message tells conversations apart; more would cost time on long prompts. */
const charsMax = 512;

/**
 * A number that all turns of one conversation share: they begin with the same messages, and the worker that answered
 * the last turn has them in its cache. Of the team, the model, and the messages up to the first of the user.
 */
export function fingerprint({ owner, model, generation: { prompt } }: Job): number {
  const messages = prompt?.kind === 'chat' ? prompt.messages : [];
  const first = messages.findIndex(({ role }) => role === 'user');
  const text = prompt?.kind === 'raw' ? prompt.text : prompt?.kind === 'infill' ? prompt.before : null;
  const opening = text === null ? messages.slice(0, first + 1).map(({ content }) => content) : [text];
  return Number.parseInt(
    hash('sha1', [owner.team, model, ...opening.map((part) => part.slice(0, charsMax))].join('\0')).slice(0, 8),
    16,
  );
}

/**
 * The conversation's own worker among those that have the model loaded, then its neighbours. Workers that would have
 * to load it are left to the ledger, which takes them last.
 * @param warm ids of workers with the model loaded, in a fixed order
 * @returns at most 4 ids, best first
 */
export function rank(warm: readonly string[], fingerprint: number): string[] {
  const start = warm.length === 0 ? 0 : fingerprint % warm.length;
  return [...warm.slice(start, start + preferMax), ...warm.slice(0, Math.min(start, preferMax))].slice(0, preferMax);
}
