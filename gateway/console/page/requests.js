// The last requests of this gateway, and why each went as it did.
import { el, list, say, set } from './dom.js';
import { ago, duration, model, number } from './format.js';
import { heads, scroll } from './queue.js';

/** @typedef {import('../snapshot.ts').RecentRow} RecentRow */

/** @param {(request: string, row?: RecentRow) => void} onOpen */
export function createRequests(onOpen) {
  const body = el('tbody');
  const empty = el('p', { class: 'empty' }, 'No request has ended yet.');
  const table = el(
    'table',
    {},
    el(
      'thead',
      {},
      heads(
        ['Ended', 'number'],
        ['Outcome'],
        ['Model'],
        ['Team'],
        ['Worker'],
        ['Waited', 'number'],
        ['First token', 'number'],
        ['Total', 'number'],
        ['Tokens', 'number'],
        ['Why'],
      ),
    ),
    body,
  );
  const node = el(
    'section',
    { class: 'panel', 'aria-labelledby': 'recent-title' },
    el('h2', { id: 'recent-title' }, 'Recent requests'),
    el('p', { class: 'summary' }, 'Of this gateway, newest first'),
    scroll(table, 'Recent requests', 'tall'),
    empty,
  );
  return {
    node,
    /** @param {RecentRow[]} rows @param {{ matches: (texts: (string | null)[]) => boolean, nowMs: number }} around */
    show(rows, { matches, nowMs }) {
      const shown = rows.filter(({ request, outcome, model, team, key, worker }) =>
        matches([request, outcome, model, team, key, worker]),
      );
      list(
        body,
        shown.map((it) => ({ it, nowMs })),
        ({ it }) => it.request,
        () => row(onOpen),
      );
      empty.hidden = rows.length > 0;
      table.hidden = rows.length === 0;
    },
    clear: () =>
      list(
        body,
        [],
        () => '',
        () => row(onOpen),
      ),
  };
}

/** @param {(request: string, row?: RecentRow) => void} onOpen */
function row(onOpen) {
  /** @type {RecentRow | null} */
  let shown = null;
  const badge = el('span', { class: 'badge' });
  const ended = el('button', { type: 'button', class: 'link', click: () => shown && onOpen(shown.request, shown) });
  const cells = ['number', '', '', '', '', 'number', 'number', 'number', 'number', 'why'].map((kind) =>
    el('td', { class: kind }),
  );
  cells[0]?.append(ended);
  cells[1]?.append(badge);
  const node = el('tr', {}, ...cells);
  return {
    node,
    /** @param {{ it: RecentRow, nowMs: number }} item */
    update({ it, nowMs }) {
      shown = it;
      say(ended, ago(nowMs - it.endedMs));
      set(ended, 'aria-label', `Request ${it.request}, ended ${ago(nowMs - it.endedMs)} ago`);
      say(badge, it.outcome.replaceAll('_', ' '));
      set(badge, 'data-state', outcomeState(it.outcome));
      const texts = [
        it.model === null ? '–' : model(it.model),
        it.team ?? '–',
        it.worker ?? '–',
        duration(it.waitMs),
        duration(it.ttftMs),
        duration(it.totalMs),
        it.outputTokens === null ? '–' : number(it.outputTokens),
        whyOf(it),
      ];
      texts.forEach((text, at) => say(cells[at + 2] ?? node, text));
    },
  };
}

/** @param {string} outcome */
function outcomeState(outcome) {
  if (outcome === 'ok') return 'ready';
  return outcome === 'client_gone' || outcome === 'cancelled' ? 'draining' : 'failed';
}

/** Why that worker, in words. @type {Record<string, string>} */
const reasons = {
  prefix: 'the worker has the beginning of the prompt cached',
  preferred: "the conversation's own worker was free",
  warm: 'a worker that has the model was free',
  cold: 'the model was not known to be loaded there',
  handed: 'the first slot that came free',
};

/** @param {RecentRow} it */
export function whyOf({ outcome, why, reason, waitMs, loadMs, retries, promptTokens, cachedTokens }) {
  if (outcome === 'client_gone') return 'the client closed the connection';
  if (why !== null) return why;
  const parts = [reason === null ? null : (reasons[reason] ?? reason)];
  if (waitMs !== null && waitMs >= 1_000) parts.push(`after a wait of ${duration(waitMs)}`);
  if (loadMs !== null && loadMs >= 10) parts.push(`its model was loaded for ${duration(loadMs)}`);
  if (cachedTokens && promptTokens)
    parts.push(`${Math.round((cachedTokens / promptTokens) * 100)} % of the prompt was cached`);
  if (retries > 0) parts.push(`tried ${retries + 1} times`);
  return parts.filter(Boolean).join('; ') || '–';
}
