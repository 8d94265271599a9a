// The workers: their slots as cells, their memory, what they have loaded.
import { act } from './actions.js';
import { el, fill, list, say, set } from './dom.js';
import { clock, model } from './format.js';
import { hueOf, modelLine, showMemory } from './loaded.js';

/**
 * @typedef {import('../snapshot.ts').WorkerRow} WorkerRow
 * @typedef {import('../snapshot.ts').RunningRow} RunningRow
 * @typedef {{ matches: (texts: (string | null)[]) => boolean, nowMs: number }} Around
 */

/** With more workers than this their cells are small and say less. */
const roomyMax = 12;
/** In words, as they are read out. */
const phases = { load: 'waits for its model', prefill: 'reads its prompt', decode: 'writes' };

/** @param {(request: string) => void} onOpen */
export function createWorkers(onOpen) {
  const node = el('div', { class: 'workers', role: 'group', 'aria-labelledby': 'workers-title' });
  const empty = el('p', { class: 'empty' }, 'No worker has joined. ', el('code', {}, 'npm run worker'), ' starts one.');
  const root = el('div', {}, node, empty);
  node.addEventListener('keydown', move);
  node.addEventListener('focusin', ({ target }) => {
    if (target instanceof HTMLElement && target.matches('.slot')) hold(target);
  });

  /** One stop of the tab key for all cells; the arrows move inside. @param {HTMLElement} cell */
  function hold(cell) {
    for (const other of node.querySelectorAll('.slot[tabindex="0"]')) if (other !== cell) set(other, 'tabindex', '-1');
    set(cell, 'tabindex', '0');
  }

  /** @param {KeyboardEvent} event */
  function move(event) {
    const cell = event.target;
    if (!(cell instanceof HTMLElement) || !cell.matches('.slot')) return;
    const strip = /** @type {HTMLElement} */ (cell.closest('.worker'));
    const cells = [...strip.querySelectorAll('.slot')];
    const at = cells.indexOf(cell);
    /** @param {Element | null} other */
    const across = (other) => {
      const there = other ? [...other.querySelectorAll('.slot')] : [];
      return there[Math.min(at, there.length - 1)];
    };
    /** @type {Record<string, Element | undefined>} */
    const targets = {
      ArrowRight: cells[at + 1] ?? strip.nextElementSibling?.querySelector('.slot') ?? undefined,
      ArrowLeft: cells[at - 1] ?? [...(strip.previousElementSibling?.querySelectorAll('.slot') ?? [])].at(-1),
      ArrowDown: across(strip.nextElementSibling),
      ArrowUp: across(strip.previousElementSibling),
      Home: node.querySelector('.slot') ?? undefined,
      End: [...node.querySelectorAll('.slot')].at(-1),
    };
    const target = targets[event.key];
    if (!(target instanceof HTMLElement)) return;
    event.preventDefault();
    target.focus();
  }

  return {
    node: root,
    /** @param {WorkerRow[]} rows @param {RunningRow[]} running @param {Around} around */
    show(rows, running, around) {
      const runs = new Map(running.map((run) => [`${run.worker}|${run.embeds}|${run.slot}`, run]));
      const ofWorker = Map.groupBy(running, ({ worker }) => worker);
      const shown = rows.filter(({ worker, device, models }) =>
        around.matches([
          worker,
          device,
          ...models.map(({ name }) => name),
          ...(ofWorker.get(worker) ?? []).flatMap(({ request, model, team, key }) => [request, model, team, key]),
        ]),
      );
      set(node, 'data-dense', rows.length > roomyMax ? 'true' : 'false');
      const dense = rows.length > roomyMax;
      const items = shown.map((row) => ({ row, runs, dense, nowMs: around.nowMs }));
      list(
        node,
        items,
        ({ row }) => row.worker,
        () => card(onOpen),
      );
      empty.hidden = rows.length > 0;
      const first = node.querySelector('.slot');
      if (first && !node.querySelector('.slot[tabindex="0"]')) set(first, 'tabindex', '0');
    },
    focus() {
      const cell = node.querySelector('.slot[tabindex="0"]');
      if (cell instanceof HTMLElement) cell.focus();
    },
    clear: () =>
      list(
        node,
        [],
        () => '',
        () => ({ node, update: () => undefined }),
      ),
  };
}

/** @typedef {{ row: WorkerRow, runs: Map<string, RunningRow>, dense: boolean, nowMs: number }} Item */

/** @param {(request: string) => void} onOpen */
function card(onOpen) {
  let worker = '';
  let drained = false;
  const name = el('button', { type: 'button', class: 'title', click: () => unfold() });
  const state = el('span', { class: 'badge' });
  const device = el('p', { class: 'device' });
  const strip = el('div', { class: 'strip', role: 'group' });
  const embeds = el('div', { class: 'strip', role: 'group' });
  const embedRow = el('div', { class: 'lane' }, el('span', { class: 'label' }, 'Embeddings'), embeds);
  const bar = el('div', { class: 'memory', role: 'img' });
  const memory = el('p', { class: 'note' });
  const loaded = el('ul', { class: 'loaded' });
  const drain = el('button', { type: 'button', class: 'small', click: () => void rest() });
  const node = el(
    'article',
    { class: 'worker' },
    el('header', {}, el('h3', {}, name), state, device, drain),
    strip,
    embedRow,
    el('div', { class: 'room' }, bar, memory),
    loaded,
  );
  const unfold = () => {
    const folded = !node.hasAttribute('data-unfolded');
    set(node, 'data-unfolded', folded);
    set(name, 'aria-expanded', String(folded));
  };
  const rest = () =>
    drained
      ? act(drain, '/admin/undrain', { worker }, () => `${worker} takes requests again`)
      : act(drain, '/admin/drain', { worker }, () => `${worker} finishes what runs and takes nothing new`);
  return {
    node,
    /** @param {Item} item */
    update({ row, runs, dense, nowMs }) {
      worker = row.worker;
      drained = row.state === 'drained';
      const silent = row.memory === null && row.state === 'ready';
      say(name, worker);
      name.disabled = !dense;
      if (dense) set(name, 'aria-expanded', String(node.hasAttribute('data-unfolded')));
      say(state, silent ? 'silent' : row.state);
      set(state, 'data-state', silent ? 'silent' : row.state);
      say(device, row.device === 'cpu' ? 'Processor' : row.device);
      say(drain, drained ? 'Undrain' : 'Drain');
      set(drain, 'aria-label', `${drained ? 'Undrain' : 'Drain'} ${worker}`);
      drain.hidden = row.state === 'draining';
      set(strip, 'aria-label', `Slots of ${worker}`);
      set(embeds, 'aria-label', `Slots for embeddings of ${worker}`);
      embedRow.hidden = row.embedSlots === 0;
      cells(strip, row, false, row.slots, runs, onOpen);
      cells(embeds, row, true, row.embedSlots, runs, onOpen);
      showMemory(bar, memory, row);
      list(
        loaded,
        row.models.map((each) => ({ each, nowMs })),
        ({ each }) => each.name,
        ({ each }) => modelLine(worker, each.name),
      );
    },
  };
}

/**
 * @param {HTMLElement} strip
 * @param {WorkerRow} row
 * @param {boolean} embeds
 * @param {number} count
 * @param {Map<string, RunningRow>} runs
 * @param {(request: string) => void} onOpen
 */
function cells(strip, row, embeds, count, runs, onOpen) {
  const items = Array.from({ length: count }, (_, slot) => ({
    slot,
    run: runs.get(`${row.worker}|${embeds}|${slot}`),
  }));
  list(
    strip,
    items,
    ({ slot }) => String(slot),
    () => cell(onOpen),
  );
}

/** @param {(request: string) => void} onOpen */
function cell(onOpen) {
  let request = '';
  const dot = el('span', { class: 'dot' });
  const team = el('span');
  const who = el('span', { class: 'who' }, dot, team);
  const far = el('span', { class: 'far' });
  const node = el(
    'button',
    { type: 'button', class: 'slot', tabindex: '-1', click: () => request && onOpen(request) },
    who,
    far,
  );
  return {
    node,
    /** @param {{ slot: number, run: RunningRow | undefined }} item */
    update({ slot, run }) {
      request = run?.request ?? '';
      set(node, 'data-phase', run?.phase ?? 'free');
      set(node, 'aria-disabled', run ? false : 'true');
      who.hidden = run === undefined;
      say(team, run?.team ?? '');
      set(dot, 'data-hue', run ? hueOf(run.model) : false);
      say(far, run ? progressOf(run) : 'free');
      fill(node, run ? doneOf(run) : 0);
      set(node, 'data-open', run !== undefined && run.phase === 'decode' && run.outputMax === null);
      const label = run
        ? `Slot ${slot + 1}: team ${run.team}, ${model(run.model)}, ${phases[run.phase]}, ${progressOf(run)}, ${clock(run.seconds)}`
        : `Slot ${slot + 1}: free`;
      set(node, 'aria-label', label);
      set(node, 'title', label);
    },
  };
}

/** @param {RunningRow} run */
function progressOf({ phase, outputTokens, outputMax, promptTokens, embeds }) {
  if (phase === 'load') return embeds ? 'computes' : 'loading';
  if (phase === 'prefill') return promptTokens > 0 ? `reads ${promptTokens}` : 'reading';
  return outputMax === null ? `${outputTokens} tok` : `${outputTokens}/${outputMax}`;
}

/** @param {RunningRow} run */
function doneOf({ outputTokens, outputMax }) {
  return outputMax === null || outputMax === 0 ? 0 : outputTokens / outputMax;
}
