// Who waits: how many for which model in the whole pool, and who stands where at this gateway.
import { el, list, say, set } from './dom.js';
import { clock, counted, model } from './format.js';

/**
 * @typedef {import('../snapshot.ts').QueuePart} QueuePart
 * @typedef {import('../snapshot.ts').QueueRow} QueueRow
 */

/** @param {(request: string) => void} onOpen */
export function createQueue(onOpen) {
  const totals = el('p', { class: 'summary' });
  const body = el('tbody');
  const empty = el('p', { class: 'empty' });
  const table = el(
    'table',
    {},
    el(
      'thead',
      {},
      heads(['Place', 'number'], ['Model'], ['Team'], ['Class'], ['Waited', 'number'], ['Expected', 'number']),
    ),
    body,
  );
  const node = el(
    'section',
    { class: 'panel', 'aria-labelledby': 'queue-title' },
    el('h2', { id: 'queue-title' }, 'Queue'),
    totals,
    scroll(table, 'Queue'),
    empty,
  );
  return {
    node,
    /** @param {QueuePart | undefined} queue @param {(texts: (string | null)[]) => boolean} matches */
    show(queue, matches) {
      const here = (queue?.here ?? []).filter(({ request, model, team, key }) => matches([request, model, team, key]));
      const sums = queue?.models.map(({ model: name, tickets }) => `${tickets} for ${model(name)}`) ?? [];
      const classes = queue?.priorities.map(({ priority, tickets }) => `${tickets} ${priority}`) ?? [];
      say(totals, sums.length === 0 ? '' : `${sums.slice(0, 8).join(', ')} (${classes.join(', ')})`);
      list(
        body,
        here,
        ({ request }) => request,
        () => row(onOpen),
      );
      table.hidden = here.length === 0;
      const waiting = queue?.models.reduce((sum, { tickets }) => sum + tickets, 0) ?? 0;
      empty.hidden = here.length > 0;
      say(empty, waiting === 0 ? 'Nobody waits.' : `${counted(waiting, 'request')} wait at other gateways.`);
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

/** @param {(request: string) => void} onOpen */
function row(onOpen) {
  let shown = '';
  const open = el('button', { type: 'button', class: 'link', click: () => onOpen(shown) });
  const cells = ['', '', '', 'number', 'number'].map((kind) => el('td', { class: kind }));
  const node = el('tr', {}, el('td', { class: 'number' }, open), ...cells);
  return {
    node,
    /** @param {QueueRow} it */
    update({ place, model: name, team, key, priority, waitedS, waitP50S, waitP90S, request }) {
      shown = request;
      const expected = waitP50S === null ? '–' : `${clock(waitP50S)} to ${clock(waitP90S ?? waitP50S)}`;
      say(open, place === null ? '–' : String(place));
      set(open, 'aria-label', `Place ${place ?? 'not known'}, request ${request}`);
      const texts = [model(name), team, priority, clock(waitedS), expected];
      texts.forEach((text, at) => say(cells[at] ?? node, text));
      set(node, 'title', `request ${request}, key ${key}`);
    },
  };
}

/** @param {...[text: string, kind?: string]} names */
export function heads(...names) {
  return el('tr', {}, ...names.map(([text, kind = '']) => el('th', { scope: 'col', class: kind }, text)));
}

/** A wide table scrolls by itself, also with the keyboard. @param {HTMLElement} table @param {string} label */
export function scroll(table, label, kind = '') {
  return el(
    'div',
    { class: `scroll ${kind}`, tabindex: '0', role: 'region', 'aria-label': `${label}, as a table` },
    table,
  );
}
