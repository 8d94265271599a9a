// The figures on top: each a number, and its last minutes as a small plot.
import { el, fill, say, set, svg } from './dom.js';
import { counted, duration, number } from './format.js';

/** @typedef {import('../snapshot.ts').Snapshot} Snapshot */

const [width, height] = [240, 44];

export function createTiles() {
  const slots = tile('Slots in use');
  const meter = el('div', { class: 'meter' });
  slots.node.append(meter);
  const waiting = plotted('Waiting', ['line']);
  const requests = plotted('Requests', ['line', 'bad']);
  const ttft = plotted('First token', ['line', 'second']);
  const tokens = plotted('Output', ['line']);
  const all = [slots, waiting, requests, ttft, tokens];
  const node = el('section', { class: 'tiles', 'aria-label': 'Figures' }, ...all.map((each) => each.node));

  return {
    node,
    /** @param {Partial<Snapshot>} seen */
    show({ pool, history }) {
      if (pool) {
        slots.say(
          `${pool.held}`,
          `of ${pool.slots}`,
          pool.slots === 0 ? 'no worker is ready' : `${share(pool)} in use`,
        );
        fill(meter, pool.slots === 0 ? 0 : pool.held / pool.slots);
        waiting.say(number(pool.waiting), '', pool.waiting === 0 ? 'nobody waits' : 'in the whole pool');
      }
      if (!history) return;
      const { stepS } = history;
      const minutes = Math.round((history.requests.length * stepS) / 60);
      const perS = (/** @type {number[]} */ values) => values.map((value) => value / stepS);
      waiting.draw([history.waiting], `Waiting over the last ${minutes} minutes`);
      // The last step is not over: what it has so far would look like a fall.
      const requestsPerS = perS(history.requests).slice(0, -1);
      const failed = history.failed.reduce((sum, value) => sum + value, 0);
      requests.say(
        rate(requestsPerS.at(-1)),
        'per s',
        failed === 0 ? `none failed in ${minutes} min` : `${counted(failed, 'failure')} in ${minutes} min`,
      );
      requests.draw(
        [requestsPerS, perS(history.failed).slice(0, -1)],
        `Requests per second, and failures, over the last ${minutes} minutes`,
      );
      const [p50, p95] = [lastOf(history.ttftP50Ms), lastOf(history.ttftP95Ms)];
      ttft.say(
        duration(p50),
        p50 === null ? '' : 'median',
        p95 === null ? `no answer in ${minutes} min` : `${duration(p95)} at the 95th percentile`,
      );
      ttft.draw(
        [history.ttftP50Ms, history.ttftP95Ms],
        `Time to the first token, median and 95th percentile, over the last ${minutes} minutes`,
      );
      const tokensPerS = perS(history.tokens).slice(0, -1);
      tokens.say(rate(tokensPerS.at(-1)), 'tokens per s', `at most ${rate(Math.max(...tokensPerS))} in ${minutes} min`);
      tokens.draw([tokensPerS], `Output tokens per second over the last ${minutes} minutes`);
    },
  };
}

/** @param {import('../snapshot.ts').PoolPart} pool */
function share({ held, slots }) {
  return `${Math.round((held / slots) * 100)} %`;
}

/** @param {number | undefined} value */
function rate(value = 0) {
  return value > 0 && value < 0.1 ? '<0.1' : number(value);
}

/** @param {readonly (number | null)[]} values */
function lastOf(values) {
  return values.findLast((value) => value !== null) ?? null;
}

/** @param {string} title */
function tile(title) {
  const value = el('strong');
  const unit = el('span', { class: 'unit' });
  const note = el('p', { class: 'note' });
  const node = el(
    'figure',
    { class: 'tile' },
    el('figcaption', {}, title),
    el('p', { class: 'value' }, value, unit),
    note,
  );
  return {
    node,
    /** @param {string} text @param {string} unitText @param {string} noteText */
    say(text, unitText, noteText) {
      say(value, text);
      say(unit, unitText === '' ? '' : ` ${unitText}`);
      say(note, noteText);
    },
  };
}

/** @param {string} title @param {string[]} kinds one line each, the most important first */
function plotted(title, kinds) {
  const base = tile(title);
  const lines = kinds.map((kind) => svg('path', { class: kind, 'vector-effect': 'non-scaling-stroke' }));
  const area = svg('path', { class: 'area' });
  const label = svg('title');
  const picture = svg(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img' },
    label,
    svg('path', { class: 'axis', d: `M0 ${height - 0.5}H${width}` }),
    area,
    ...lines.toReversed(),
  );
  base.node.append(picture);
  return {
    ...base,
    /** @param {(readonly (number | null)[])[]} series @param {string} name */
    draw(series, name) {
      const top = Math.max(1e-9, ...series.flat().map((value) => value ?? 0));
      const most = top > 1e-6 ? `, at most ${number(Math.round(top * 10) / 10)}` : '';
      say(label, `${name}${most}`);
      series.forEach((values, at) => {
        const line = lines[at];
        if (line) set(line, 'd', pathOf(values, top));
      });
      const [first = []] = series;
      set(area, 'd', areaOf(first, top));
    },
  };
}

/** @param {readonly (number | null)[]} values @param {number} top */
function points(values, top) {
  const step = width / Math.max(1, values.length - 1);
  return values.map((value, at) =>
    value === null ? null : `${round(at * step)} ${round(height - 1 - (value / top) * (height - 4))}`,
  );
}

/** A gap stays a gap; a value with gaps on both sides becomes a dot. @param {readonly (number | null)[]} values @param {number} top */
function pathOf(values, top) {
  const all = points(values, top);
  return all
    .map((point, at) => {
      if (point === null) return '';
      const alone = (all[at - 1] ?? null) === null && (all[at + 1] ?? null) === null;
      return alone ? `M${point}h0.01` : `${(all[at - 1] ?? null) === null ? 'M' : 'L'}${point}`;
    })
    .join('');
}

/** Only where there is a value at every step. @param {readonly (number | null)[]} values @param {number} top */
function areaOf(values, top) {
  if (values.includes(null)) return '';
  return `M0 ${height}L${points(values, top).join('L')}L${width} ${height}Z`;
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
