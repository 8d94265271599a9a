// What a worker has loaded: how much memory each model takes, until when it stays, and the button that keeps it.
import { act } from './actions.js';
import { el, fill, list, say, set } from './dom.js';
import { bytes, clock, model } from './format.js';

/** @typedef {import('../snapshot.ts').WorkerRow} WorkerRow */

/** What models take, what else is in use, what is free. @param {HTMLElement} bar @param {HTMLElement} text @param {WorkerRow} row */
export function showMemory(bar, text, { device, memory, models }) {
  const total = memory?.bytes ?? null;
  const own = models.filter(({ failed }) => failed === null);
  const sum = own.reduce((all, each) => all + each.bytes, 0);
  const other = Math.max(0, (memory?.usedBytes ?? sum) - sum);
  const parts = [...own.map(({ name, bytes }) => ({ name, bytes })), { name: 'other', bytes: other }];
  list(
    bar,
    total === null ? [] : parts,
    ({ name }) => name,
    ({ name }) => {
      const node = el('span', { 'data-hue': name === 'other' ? 'other' : hueOf(name) });
      return { node, update: (part) => fill(node, part.bytes / (total ?? 1)) };
    },
  );
  bar.hidden = total === null;
  const what = device === 'cpu' ? 'memory of the machine' : 'memory of the GPU';
  const busy =
    memory?.utilization === null || memory === null ? '' : `, ${Math.round(memory.utilization * 100)} % busy`;
  const said =
    total === null
      ? memory === null
        ? 'It does not tell what it does'
        : `${bytes(sum)} loaded`
      : `${bytes(memory?.usedBytes ?? sum)} of ${bytes(total)}${busy}`;
  say(text, said);
  set(bar, 'aria-label', `${said}, ${what}`);
}

/** @param {string} worker @param {string} name */
export function modelLine(worker, name) {
  let pinned = false;
  const about = el('span', { class: 'note' });
  const pin = el('button', { type: 'button', class: 'small', click: () => void stay() });
  const stay = () =>
    pinned
      ? act(pin, '/admin/unpin', { model: name, worker }, () => `${model(name)} may go from ${worker} when it is idle`)
      : act(pin, '/admin/pin', { model: name, worker }, () => `${model(name)} stays on ${worker}`);
  const node = el(
    'li',
    {},
    el('span', { class: 'dot', 'data-hue': hueOf(name) }),
    el('span', { class: 'what' }, el('span', { class: 'name', title: name }, model(name)), about),
    pin,
  );
  return {
    node,
    /** @param {{ each: WorkerRow['models'][number], nowMs: number }} item */
    update({ each: { bytes: taken, expiresAt, failed, pinned: stays }, nowMs }) {
      pinned = stays;
      const left = expiresAt === null ? 'in use' : `unloads in ${clock((expiresAt - nowMs) / 1_000)}`;
      say(about, failed ?? `${bytes(taken)}, ${pinned ? 'stays' : left}`);
      set(about, 'title', failed ?? '');
      set(node, 'data-failed', failed !== null);
      pin.hidden = failed !== null;
      say(pin, pinned ? 'Unpin' : 'Pin');
      set(pin, 'aria-label', `${pinned ? 'Unpin' : 'Pin'} ${model(name)} on ${worker}`);
    },
  };
}

/** @type {Map<string, string>} */
const hues = new Map();
const huesMax = 1_000;

/** The same model has the same colour everywhere, and neighbours have different ones. @param {string} name */
export function hueOf(name) {
  if (hues.size >= huesMax) hues.clear();
  const known = hues.get(name) ?? String(hues.size % 6);
  hues.set(name, known);
  return known;
}
