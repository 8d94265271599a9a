// The playground: a chat with any model of the pool, and the figures of each answer.
import { announce, el, list, say, set } from './dom.js';
import { duration, model, number } from './format.js';
import { ask, linesOf } from './server.js';

/** @typedef {{ role: 'user' | 'assistant', content: string }} Message */

/**
 * @param {HTMLElement} root
 * @param {() => readonly import('../snapshot.ts').ModelRow[]} models
 */
export function createPlayground(root, models) {
  /** @type {Message[]} */
  let talk = [];
  /** @type {AbortController | null} */
  let running = null;

  const select = el('select', { id: 'play-model' });
  const system = el('textarea', { id: 'play-system', rows: '3', placeholder: 'none' });
  const temperature = el('input', {
    id: 'play-temperature',
    type: 'number',
    min: '0',
    max: '2',
    step: '0.1',
    value: '0.7',
  });
  const most = el('input', { id: 'play-most', type: 'number', min: '1', max: '100000', step: '1', value: '512' });
  const log = el('div', { class: 'talk', role: 'log', 'aria-label': 'Conversation', tabindex: '0' });
  const hint = el('p', { class: 'empty' }, 'Ask something. Nothing that is said here is kept.');
  const field = el('textarea', {
    id: 'play-text',
    rows: '3',
    placeholder: 'Message',
    'aria-label': 'Message',
    required: true,
  });
  const send = el('button', { type: 'submit', class: 'primary' }, 'Send');
  const stop = el('button', { type: 'button', click: () => running?.abort() }, 'Stop');
  const anew = el('button', { type: 'button', class: 'quiet', click: () => begin() }, 'New conversation');
  const form = el(
    'form',
    {
      class: 'ask',
      submit: onSubmit,
      keydown: onKey,
    },
    field,
    el('div', { class: 'buttons' }, send, stop, anew),
  );
  stop.hidden = true;
  root.append(
    el('h1', { class: 'unseen' }, 'Playground'),
    el(
      'div',
      { class: 'play' },
      el(
        'section',
        { class: 'panel settings', 'aria-label': 'Settings' },
        labelled('Model', select),
        labelled('System text', system),
        labelled('Temperature', temperature),
        labelled('Most output tokens', most),
      ),
      el('section', { class: 'panel stage', 'aria-label': 'Chat' }, hint, log, form),
    ),
  );
  addEventListener('berth-model', (event) => {
    select.value = /** @type {CustomEvent<string>} */ (event).detail;
    say(field, '');
  });

  function begin() {
    running?.abort();
    talk = [];
    log.replaceChildren();
    hint.hidden = false;
    field.focus();
  }

  /** @param {SubmitEvent} event */
  function onSubmit(event) {
    event.preventDefault();
    submit();
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      submit();
    }
    if (event.key === 'Escape') running?.abort();
  }

  function submit() {
    const content = field.value.trim();
    if (running !== null || content === '' || select.value === '') return;
    field.value = '';
    hint.hidden = true;
    void answer(content);
  }

  /** @param {string} content */
  async function answer(content) {
    const shown = turn('assistant');
    const asked = turn('user');
    say(asked.text, content);
    log.append(asked.node, shown.node);
    const own = new AbortController();
    running = own;
    [send.disabled, stop.hidden] = [true, false];
    const instructions = system.value.trim() === '' ? [] : [{ role: 'system', content: system.value }];
    /** @type {Message[]} */
    const next = [...talk, { role: 'user', content }];
    try {
      const text = await streamed([...instructions, ...next], shown, own.signal);
      talk = [...next, { role: 'assistant', content: text }];
      announce(text.slice(0, 500));
    } catch (error) {
      const stopped = own.signal.aborted;
      say(shown.note, stopped ? 'Stopped.' : error instanceof Error ? error.message : String(error));
      set(shown.node, 'data-failed', !stopped);
    } finally {
      running = null;
      [send.disabled, stop.hidden] = [false, true];
      field.focus();
    }
  }

  /**
   * @param {object[]} messages
   * @param {ReturnType<typeof turn>} shown
   * @param {AbortSignal} signal
   */
  async function streamed(messages, shown, signal) {
    const sentMs = performance.now();
    const wanted = { temperature: Number(temperature.value), max_tokens: Number(most.value) };
    const body = { model: select.value, messages, stream: true, stream_options: { include_usage: true }, ...wanted };
    say(shown.note, 'Waiting …');
    const reply = await ask('POST', '/v1/chat/completions', body, { signal });
    let [text, thought] = ['', ''];
    let [firstMs, lastMs] = [0, 0];
    let tokens = 0;
    for await (const line of linesOf(reply)) {
      if (line.startsWith(': ')) say(shown.note, `${line.slice(2, 3).toUpperCase()}${line.slice(3)} …`);
      if (!line.startsWith('data: ') || line === 'data: [DONE]') continue;
      const { choices = [], usage, error } = JSON.parse(line.slice(6));
      if (error) throw new Error(error.message);
      tokens = usage?.completion_tokens ?? tokens;
      const delta = choices[0]?.delta ?? {};
      if (!delta.content && !delta.reasoning_content) continue;
      lastMs = performance.now();
      firstMs ||= lastMs;
      text += delta.content ?? '';
      thought += delta.reasoning_content ?? '';
      say(shown.text, text);
      say(shown.thought, thought);
      shown.thoughts.hidden = thought === '';
      log.scrollTop = log.scrollHeight;
    }
    const { headers } = reply;
    const slot = headers.get('berth-slot');
    const rate = tokens > 1 && lastMs > firstMs ? ((tokens - 1) * 1_000) / (lastMs - firstMs) : null;
    say(shown.note, '');
    figures(shown.facts, [
      ['First token', firstMs === 0 ? '–' : duration(firstMs - sentMs)],
      ['Speed', rate === null ? '–' : `${number(rate)} tokens/s`],
      ['Tokens', number(tokens)],
      ['Total', duration(performance.now() - sentMs)],
      ['Worker', headers.get('berth-worker') ?? '–'],
      ['Slot', slot === null ? '–' : String(Number(slot) + 1)],
      ['Request', headers.get('x-request-id') ?? '–'],
    ]);
    log.scrollTop = log.scrollHeight;
    return text;
  }

  return {
    refresh() {
      const names = models().flatMap(({ name, capabilities }) => (capabilities.includes('completion') ? [name] : []));
      const chosen = select.value;
      list(
        select,
        names,
        (name) => name,
        (name) => ({ node: el('option', { value: name }, model(name)), update: () => undefined }),
      );
      if (names.includes(chosen)) select.value = chosen;
    },
    focus: () => field.focus(),
  };
}

/** @param {string} text @param {HTMLElement} input */
function labelled(text, input) {
  return el('div', { class: 'field' }, el('label', { for: input.id }, text), input);
}

/** @param {'user' | 'assistant'} role */
function turn(role) {
  const text = el('div', { class: 'text' });
  const thought = el('div', { class: 'text' });
  const thoughts = el('details', {}, el('summary', {}, 'Thoughts'), thought);
  const note = el('p', { class: 'note' });
  const facts = el('dl', { class: 'figures' });
  thoughts.hidden = true;
  const who = el('h2', { class: 'who' }, role === 'user' ? 'You' : 'Model');
  return {
    node: el('article', { class: `turn ${role}` }, who, thoughts, text, note, facts),
    text,
    thought,
    thoughts,
    note,
    facts,
  };
}

/** @param {HTMLElement} node @param {[name: string, value: string][]} pairs */
function figures(node, pairs) {
  node.replaceChildren(...pairs.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))));
}
