// One request, looked at closely: a dialog that follows it while it runs, with the button that ends it.
import { act } from './actions.js';
import { el, list, say } from './dom.js';
import { createExplained } from './explained.js';
import { clock, duration, model } from './format.js';
import { whyOf } from './requests.js';

/**
 * @typedef {import('../snapshot.ts').RunningRow} RunningRow
 * @typedef {import('../snapshot.ts').RecentRow} RecentRow
 * @typedef {import('../snapshot.ts').QueueRow} QueueRow
 */

/** @param {HTMLDialogElement} dialog */
export function createInspector(dialog) {
  /** @type {string} */
  let request = '';
  /** @type {RecentRow | undefined} */
  let ended;
  const title = el('h2', { id: 'inspect-title' });
  const facts = el('dl', { class: 'facts' });
  const explained = createExplained();
  const note = el('p', { class: 'note', role: 'status' });
  const cancel = el('button', { type: 'button', class: 'danger', click: () => void end() }, 'Cancel this request');
  const close = el('form', { method: 'dialog' }, el('button', { class: 'quiet' }, 'Close'));
  dialog.append(title, facts, explained.node, note, el('div', { class: 'buttons' }, cancel, close));

  async function end() {
    const sentence = 'Cancelled: its client is told so.';
    if (await act(cancel, '/admin/cancel', { request }, () => sentence)) say(note, sentence);
  }

  /** @param {[name: string, value: string][]} pairs */
  function showFacts(pairs) {
    list(
      facts,
      pairs,
      ([name]) => name,
      ([name]) => {
        const value = el('dd');
        return { node: el('div', {}, el('dt', {}, name), value), update: ([, text]) => say(value, text) };
      },
    );
  }

  return {
    /** @param {string} id @param {RecentRow} [row] of one that has ended */
    open(id, row) {
      request = id;
      ended = row;
      say(title, `Request ${id}`);
      say(note, '');
      cancel.hidden = row !== undefined;
      showFacts(row ? factsOfEnded(row) : []);
      void explained.show(id);
      dialog.showModal();
    },
    /** @param {RunningRow[]} running @param {QueueRow[]} waiting */
    show(running, waiting) {
      if (!dialog.open || ended) return;
      const run = running.find((each) => each.request === request);
      if (run) return showFacts(factsOfRun(run));
      const waits = waiting.find((each) => each.request === request);
      if (waits) return showFacts(factsOfWaiting(waits));
      if (cancel.hidden) return;
      cancel.hidden = true;
      if (note.textContent === '') say(note, 'It has ended.');
    },
    isOpen: () => dialog.open,
    close: () => dialog.close(),
  };
}

/** @param {RunningRow} run @returns {[string, string][]} */
function factsOfRun({
  worker,
  slot,
  embeds,
  model: name,
  team,
  key,
  phase,
  seconds,
  promptTokens,
  outputTokens,
  outputMax,
}) {
  return [
    ['Model', model(name)],
    ['Team', team],
    ['Key', key],
    ['Worker', `${worker}, ${embeds ? 'embeddings, ' : ''}slot ${slot + 1}`],
    ['Does', { load: 'waits for its model', prefill: 'reads its prompt', decode: 'writes its answer' }[phase]],
    ['Prompt', `${promptTokens} tokens`],
    ['Answer', `${outputTokens} tokens${outputMax === null ? '' : ` of at most ${outputMax}`}`],
    ['Holds its slot', `for ${clock(seconds)}`],
  ];
}

/** @param {QueueRow} row @returns {[string, string][]} */
function factsOfWaiting({ model: name, team, key, priority, place, waitedS, waitP50S, waitP90S }) {
  return [
    ['Model', model(name)],
    ['Team', team],
    ['Key', key],
    ['Class', priority],
    ['Place', place === null ? 'not known' : String(place)],
    ['Waits', `for ${clock(waitedS)}`],
    ['Expected', waitP50S === null ? 'not known' : `${clock(waitP50S)} to ${clock(waitP90S ?? waitP50S)}`],
  ];
}

/** @param {RecentRow} row @returns {[string, string][]} */
function factsOfEnded(row) {
  const {
    outcome,
    model: name,
    team,
    key,
    priority,
    worker,
    dialect,
    waitMs,
    ttftMs,
    totalMs,
    promptTokens,
    cachedTokens,
    outputTokens,
    tokensPerS,
  } = row;
  return [
    ['Outcome', outcome.replaceAll('_', ' ')],
    ['Why', whyOf(row)],
    ['Model', name === null ? '–' : model(name)],
    ['Team, key', `${team ?? '–'}, ${key ?? '–'}`],
    ['Class, dialect', `${priority ?? '–'}, ${dialect}`],
    ['Worker', worker ?? '–'],
    ['Waited', duration(waitMs)],
    ['First token', duration(ttftMs)],
    ['Total', duration(totalMs)],
    ['Prompt', promptTokens === null ? '–' : `${promptTokens} tokens, ${cachedTokens ?? 0} of them cached`],
    [
      'Answer',
      outputTokens === null ? '–' : `${outputTokens} tokens${tokensPerS === null ? '' : `, ${tokensPerS} per s`}`,
    ],
  ];
}
