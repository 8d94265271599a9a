// The view of the pool: what the stream has told so far, and the parts of the page that show it.
import { byId, el, say } from './dom.js';
import { createInspector } from './inspect.js';
import { createModels } from './models.js';
import { createTiles } from './plots.js';
import { createQueue } from './queue.js';
import { createRequests } from './requests.js';
import { createWorkers } from './workers.js';

/** @typedef {import('../snapshot.ts').Snapshot} Snapshot */

/** @param {HTMLElement} root */
export function createPool(root) {
  /** @type {Partial<Snapshot>} */
  let seen = {};
  const inspector = createInspector(/** @type {HTMLDialogElement} */ (byId('inspect')));
  const filter = el('input', {
    type: 'search',
    id: 'filter',
    placeholder: 'Filter: worker, model, team',
    'aria-label': 'Filter workers and requests',
    autocomplete: 'off',
    spellcheck: 'false',
    input: () => render(),
  });
  const summary = el('p', { class: 'summary' });
  const tiles = createTiles();
  const workers = createWorkers(inspector.open);
  const queue = createQueue(inspector.open);
  const models = createModels();
  const requests = createRequests(inspector.open);
  root.append(
    el('h1', { class: 'unseen' }, 'Pool'),
    tiles.node,
    el('div', { class: 'head' }, el('h2', { id: 'workers-title' }, 'Workers'), summary, legend(), filter),
    workers.node,
    el('div', { class: 'columns' }, queue.node, models.node),
    requests.node,
  );

  function render() {
    const { pool } = seen;
    if (!pool) return;
    const matches = matcher(filter.value);
    const clockMs = pool.nowMs;
    tiles.show(seen);
    workers.show(seen.workers ?? [], seen.running ?? [], { matches, nowMs: clockMs });
    queue.show(seen.queue, matches);
    models.show(seen.models ?? []);
    requests.show(seen.recent ?? [], { matches, nowMs: clockMs });
    inspector.show(seen.running ?? [], seen.queue?.here ?? []);
    const { workers: hidden, running } = pool.left;
    const left = hidden + running > 0 ? `; ${hidden} workers and ${running} requests more are not shown` : '';
    const gateways = pool.gateways === 1 ? '1 gateway' : `${pool.gateways} gateways`;
    say(summary, `${seen.workers?.length ?? 0} here, ${gateways}, Berth ${pool.version}${left}`);
  }

  return {
    snapshot: () => seen,
    /** @param {Partial<Snapshot>} parts */
    show(parts) {
      seen = { ...seen, ...parts };
      if (!root.hidden || inspector.isOpen()) render();
    },
    /** Nothing that was seen in a session stays in the page after it. */
    clear() {
      seen = {};
      inspector.close();
      for (const part of [workers, queue, models, requests]) part.clear();
    },
    filter() {
      location.hash = '#pool';
      filter.focus();
    },
    slots() {
      location.hash = '#pool';
      workers.focus();
    },
  };
}

/**
 * Every word of the filter has to be in one of the texts.
 * @param {string} text
 * @returns {(texts: readonly (string | null)[]) => boolean}
 */
function matcher(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (texts) => {
    if (words.length === 0) return true;
    const all = texts.join(' ').toLowerCase();
    return words.every((word) => all.includes(word));
  };
}

/** What the marks of the cells mean. */
function legend() {
  const marks = { load: 'waits for its model', prefill: 'reads', decode: 'writes' };
  const items = Object.entries(marks).map(([phase, text]) =>
    el('li', {}, el('span', { class: 'mark', 'data-phase': phase }), text),
  );
  return el('ul', { class: 'legend', 'aria-label': 'Marks of the slots' }, ...items);
}
