// How a request was placed, in words: what the gateway knew of the workers, and what the ledger answered.
import { el } from './dom.js';
import { duration } from './format.js';
import { ask } from './server.js';

/**
 * @typedef {{ worker: string, score: number, prefix: number, prefixTokens: number, spare: number }} Candidate
 * @typedef {{ kind: 'held', worker: string } | { kind: 'wait', place: number, servers: number } | { kind: 'full', bound: string }} Answer
 * @typedef {{ atMs: number, candidates: Candidate[], excluded: string[], ledger: Answer }} Decision
 */

export function createExplained() {
  const steps = el('ol', { class: 'steps' });
  const node = el('section', {}, el('h3', {}, 'How it was placed'), steps);
  let wanted = '';
  node.hidden = true;
  return {
    node,
    /** @param {string} request */
    async show(request) {
      wanted = request;
      node.hidden = true;
      const reply = await ask('GET', `/admin/explain/${encodeURIComponent(request)}`).catch(() => null);
      // Of what no gateway knows any more there is nothing to say.
      const told = reply && (await reply.json());
      if (wanted !== request || !told?.decisions?.length) return;
      steps.replaceChildren(...told.decisions.map((/** @type {Decision} */ each) => el('li', {}, sentenceOf(each))));
      node.hidden = false;
    },
  };
}

/** @param {Decision} decision */
function sentenceOf({ atMs, candidates, excluded, ledger }) {
  const known = candidates.map(
    ({ worker, score, prefix, prefixTokens, spare }) =>
      `${worker} ${score.toFixed(2)} (${prefixTokens > 0 ? `${Math.round(prefix * 100)} % of the prompt cached, ` : ''}${Math.round(spare * 100)} % unused)`,
  );
  const parts = [
    `After ${duration(atMs)}: ${answerOf(ledger)}.`,
    known.length === 0 ? 'No worker stood out.' : `Best first: ${known.join(', ')}.`,
    excluded.length === 0 ? '' : `Not again: ${excluded.join(', ')}.`,
  ];
  return parts.filter(Boolean).join(' ');
}

/** @param {Answer} ledger */
function answerOf(ledger) {
  if (ledger.kind === 'held') return `a slot on ${ledger.worker}`;
  if (ledger.kind === 'full') return 'the queue was full';
  return ledger.servers === 0
    ? `place ${ledger.place} in the queue, for a model that nobody had loaded`
    : `place ${ledger.place} in the queue of ${ledger.servers} workers`;
}
