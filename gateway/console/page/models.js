// The models of the pool: on how many workers they lie, where they are loaded, and what can be done with them.
import { act } from './actions.js';
import { el, list, say } from './dom.js';
import { bytes, model, number } from './format.js';
import { hueOf } from './loaded.js';
import { heads, scroll } from './queue.js';

/** @typedef {import('../snapshot.ts').ModelRow} ModelRow */

export function createModels() {
  const body = el('tbody');
  const empty = el('p', { class: 'empty' }, 'No worker has a model.');
  const table = el(
    'table',
    {},
    el(
      'thead',
      {},
      heads(['Model'], ['Size', 'number'], ['Context', 'number'], ['Loaded', 'number'], ['Actions', 'number']),
    ),
    body,
  );
  const node = el(
    'section',
    { class: 'panel', 'aria-labelledby': 'models-title' },
    el('h2', { id: 'models-title' }, 'Models'),
    scroll(table, 'Models'),
    empty,
  );
  return {
    node,
    /** @param {ModelRow[]} rows */
    show(rows) {
      list(
        body,
        rows,
        ({ name }) => name,
        ({ name }) => row(name),
      );
      empty.hidden = rows.length > 0;
      table.hidden = rows.length === 0;
    },
    clear: () =>
      list(
        body,
        [],
        () => '',
        () => row(''),
      ),
  };
}

/** @param {string} name */
function row(name) {
  const about = el('span', { class: 'about' });
  const size = el('td', { class: 'number' });
  const context = el('td', { class: 'number' });
  const loaded = el('td', { class: 'number' });
  const chat = el(
    'a',
    { href: `#playground`, 'aria-label': `Chat with ${model(name)}`, click: () => choose(name) },
    'Chat',
  );
  const preload = el(
    'button',
    { type: 'button', class: 'small', 'aria-label': `Preload ${model(name)}`, click: () => void load() },
    'Preload',
  );
  const load = () =>
    act(preload, '/admin/preload', { model: name }, ({ worker, state }) => `${model(name)} on ${worker}: ${state}`);
  const title = el(
    'th',
    { scope: 'row' },
    el('span', { class: 'dot', 'data-hue': hueOf(name) }),
    el('span', { class: 'name' }, model(name)),
    about,
  );
  const node = el('tr', {}, title, size, context, loaded, el('td', { class: 'actions' }, preload, chat));
  return {
    node,
    /** @param {ModelRow} it */
    update({ sizeBytes, parameterSize, quantization, contextTokens, loaded: copies, workers, capabilities }) {
      say(about, [parameterSize, quantization].filter(Boolean).join(' '));
      say(size, bytes(sizeBytes));
      say(context, number(contextTokens));
      say(loaded, `${copies} of ${workers}`);
      preload.hidden = copies === workers;
      chat.hidden = !capabilities.includes('completion');
    },
  };
}

/** The playground listens. @param {string} name */
function choose(name) {
  dispatchEvent(new CustomEvent('berth-model', { detail: name }));
}
