// The page's start: who is signed in, which view is shown, the theme, the keys.
import { announce, byId, say, set } from './dom.js';
import { createPlayground } from './playground.js';
import { createPool } from './pool.js';
import { Refused, ask, follow } from './server.js';

const views = /** @type {const} */ (['pool', 'playground']);
/** @type {AbortController | null} */
let following = null;

const pool = createPool(byId('pool'));
const playground = createPlayground(byId('playground'), () => pool.snapshot().models ?? []);

async function begin() {
  try {
    const reply = await ask('GET', '/admin/session');
    const { until } = await reply.json();
    enter(until !== null);
  } catch (error) {
    if (error instanceof Refused && error.status === 0) return waitForGateway(error.message);
    const wasIn = following !== null;
    showLogin(wasIn ? 'Your session has ended.' : '');
  }
}

/** @param {string} why */
function waitForGateway(why) {
  showState('lost', why);
  setTimeout(() => void begin(), 2_000);
}

/** @param {boolean} hasSession with an open door there is none to leave */
function enter(hasSession) {
  byId('login').hidden = true;
  byId('views').hidden = false;
  byId('leave').hidden = !hasSession;
  showView();
  following?.abort();
  following = new AbortController();
  void follow({
    signal: following.signal,
    onChange: (parts) => {
      pool.show(parts);
      playground.refresh();
      const at = pool.snapshot().pool;
      if (at) showState(stateOf(at), sentenceOf(at));
    },
    onLost: (why) => showState('lost', `${why} Trying again.`),
    onEnd: (why) => showLogin(why),
  });
}

/** @param {string} why */
function showLogin(why) {
  following?.abort();
  following = null;
  for (const view of views) byId(view).hidden = true;
  byId('views').hidden = true;
  byId('leave').hidden = true;
  byId('login').hidden = false;
  showState('', '');
  say(byId('login-error'), why);
  pool.clear();
  byId('key').focus();
}

/** @param {SubmitEvent} event */
async function signIn(event) {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (byId('key'));
  try {
    // In a header, which no log and no history keeps.
    const reply = await ask('POST', '/admin/session', undefined, {
      headers: { authorization: `Bearer ${field.value}` },
    });
    await reply.body?.cancel();
    field.value = '';
    say(byId('login-error'), '');
    enter(true);
  } catch (error) {
    say(byId('login-error'), error instanceof Error ? error.message : String(error));
    field.select();
  }
}

async function signOut() {
  await ask('DELETE', '/admin/session').catch(() => undefined);
  showLogin('');
}

/** @param {import('../snapshot.ts').PoolPart} at */
function stateOf(at) {
  if (!at.up || at.draining) return 'lost';
  return at.degraded ? 'degraded' : 'ok';
}

/** @param {import('../snapshot.ts').PoolPart} at */
function sentenceOf(at) {
  if (at.draining) return 'This gateway is shutting down';
  if (!at.up) return 'The ledger does not answer';
  return at.degraded ? 'Works without Redis, with its own share of the slots' : 'Live';
}

/** @param {string} state @param {string} text */
function showState(state, text) {
  const node = byId('state');
  set(node, 'data-state', state);
  say(node, text);
}

function showView() {
  const wanted = views.find((name) => location.hash === `#${name}`) ?? 'pool';
  for (const view of views) {
    byId(view).hidden = view !== wanted;
    const link = document.querySelector(`[data-view=${view}]`);
    if (link) set(link, 'aria-current', view === wanted ? 'page' : false);
  }
  document.title = wanted === 'pool' ? 'Berth console' : 'Berth playground';
  if (wanted === 'playground') playground.focus();
}

const themes = ['system', 'light', 'dark'];

function nextTheme() {
  const root = document.documentElement;
  const next = themes[(themes.indexOf(root.dataset['theme'] ?? 'system') + 1) % themes.length] ?? 'system';
  root.dataset['theme'] = next;
  localStorage.setItem('berth-theme', next);
  showTheme();
  announce(`Theme: ${next}`);
}

function showTheme() {
  say(byId('theme'), `Theme: ${document.documentElement.dataset['theme']}`);
}

const keysDialog = /** @type {HTMLDialogElement} */ (byId('keys'));
const singleKeys = /** @type {HTMLInputElement} */ (byId('single-keys'));
singleKeys.checked = localStorage.getItem('berth-keys') !== 'off';

/** @type {Record<string, () => void>} */
const actions = {
  1: () => (location.hash = '#pool'),
  2: () => (location.hash = '#playground'),
  '/': () => pool.filter(),
  s: () => pool.slots(),
  t: nextTheme,
  '?': () => keysDialog.showModal(),
};

/** @param {KeyboardEvent} event */
function onKey(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const types = target.closest('input, textarea, select, [contenteditable]') !== null;
  if (types || event.ctrlKey || event.metaKey || event.altKey || !singleKeys.checked) return;
  if (byId('views').hidden && event.key !== 't' && event.key !== '?') return;
  if (document.querySelector('dialog[open]') !== null) return;
  const act = Object.hasOwn(actions, event.key) ? actions[event.key] : undefined;
  if (!act) return;
  event.preventDefault();
  act();
}

byId('login-form').addEventListener('submit', (event) => void signIn(event));
byId('leave').addEventListener('click', () => void signOut());
byId('theme').addEventListener('click', nextTheme);
byId('help').addEventListener('click', () => keysDialog.showModal());
singleKeys.addEventListener('change', () => localStorage.setItem('berth-keys', singleKeys.checked ? 'on' : 'off'));
addEventListener('hashchange', () => {
  if (!byId('views').hidden) showView();
});
addEventListener('keydown', onKey);
showTheme();
void begin();
