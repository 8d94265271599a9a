// The console in a real browser, on a pool of real processes.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import type { Activity } from '@berth/shared/activity.ts';
import { systemClock } from '@berth/shared/clock.ts';
import { aCard } from '../doubles/fake-worker.ts';
import { startRig } from '../gateway/rig.ts';
import { echoModels, startGateway, startWorker, workersReady } from '../e2e/berth.ts';
import type { Berth } from '../e2e/berth.ts';
import { browserProgram, startChromium } from '../tools/chromium.ts';

const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
const key = 'an-admin-key-of-the-console';
const authorization = `Bearer ${key}`;
const stack = new AsyncDisposableStack();
let gateway: Berth;
let other: Berth;
let browser: Browser;
/** What a page complained about: scripts that failed, and what its policy forbade. */
const complaints: string[] = [];

// A browser beside other tests on two processors takes its time.
vi.setConfig({ testTimeout: 90_000 });
beforeAll(() => browserProgram(), 300_000);
beforeAll(async () => {
  const models = stack.use(await echoModels('m', 'other'));
  const common = { REDIS_URL: inject('redisUrl'), POOL: `console-${randomUUID()}`, LOG_LEVEL: 'warn' };
  const echo = { ...common, ENGINE: 'echo', MODELS_DIR: models.path, NUM_PARALLEL: '2' };
  const workers = ['w1', 'w2'].map((id) => startWorker({ ...echo, WORKER_ID: id }));
  const gateways = [1, 2].map(() => startGateway({ ...common, API_KEY: key }));
  const started = await Promise.all([...gateways, ...workers]);
  for (const berth of started) stack.use(berth);
  [gateway, other] = started as [Berth, Berth, ...Berth[]];
  for (const each of [gateway, other]) await workersReady(each, 2);
  await post('/admin/preload', { model: 'm', worker: 'w1' });
  browser = await startChromium();
  stack.defer(() => browser.close());
}, 90_000);
afterAll(() => stack.disposeAsync());

/** A page of its own, without anybody's session. */
async function open(hash = '', url = gateway.url): Promise<Page & AsyncDisposable> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  page.on('pageerror', ({ message }) => complaints.push(message));
  // A refused key is an answer, which the browser tells as an error.
  page.on(
    'console',
    (line) => line.type() === 'error' && !/status of 40\d/.test(line.text()) && complaints.push(line.text()),
  );
  await page.goto(`${url}/console${hash}`);
  return Object.assign(page, { [Symbol.asyncDispose]: () => context.close() });
}

async function signIn(page: Page): Promise<void> {
  await page.getByLabel('Key', { exact: true }).fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('#login').waitFor({ state: 'hidden' });
}

async function signedIn(hash = ''): Promise<Page & AsyncDisposable> {
  const page = await open(hash);
  await signIn(page);
  return page;
}

/** What axe-core finds that keeps people out. */
async function barriers(page: Page, only?: string): Promise<string[]> {
  await page.evaluate(axe);
  const wish = only === undefined ? '{}' : JSON.stringify({ runOnly: [only] });
  const found = (await page.evaluate(`axe.run(${wish})`)) as {
    violations: { id: string; nodes: { html: string }[] }[];
  };
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

function post(path: string, body: object, { url } = gateway): Promise<Response> {
  const headers = { authorization, 'content-type': 'application/json' };
  return fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
}

const slowly = (content: string, more: Record<string, unknown> = {}, at = gateway) =>
  post('/v1/chat/completions', { model: 'm', stream: true, messages: [{ role: 'user', content }], ...more }, at);

/** A request that runs for long, until its client leaves at the end of the scope. */
async function running(): Promise<Disposable> {
  const reply = await slowly('[[tokenDelayMs=30 repeat=2000]] word ', { max_tokens: 2_000 });
  return { [Symbol.dispose]: () => void reply.body?.cancel().catch(() => undefined) };
}

/** The last event of a stream that is cut. */
async function lastOf({ body }: Response): Promise<unknown> {
  let text = '';
  try {
    for await (const chunk of body ?? []) text += Buffer.from(chunk).toString('utf8');
  } catch {
    // The gateway destroys the connection behind its last word.
  }
  return JSON.parse(text.trim().split('data: ').at(-1) ?? '');
}

describe('the console', () => {
  it('lets nobody in with a wrong key, and an administrator with a right one', async () => {
    await using page = await open();
    await page.getByLabel('Key', { exact: true }).fill('not-a-key-of-this-pool');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('a valid API key is needed').waitFor();
    await page.getByLabel('Key', { exact: true }).fill(key);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'w1' }).waitFor();
    expect(await page.content()).not.toContain(key);
    expect(page.url()).not.toContain(key);
  });

  it('shows who runs what and how far, and ends a running request, whose client is told so', async () => {
    await using page = await signedIn();
    const reply = await slowly('[[tokenDelayMs=30 repeat=2000]] word ', { max_tokens: 2_000 });
    const end = lastOf(reply);
    const slot = page.getByRole('button', { name: /^Slot \d: team default, m, writes, / });
    await slot.waitFor();
    const tokens = async () => Number(/writes, (\d+)/.exec((await slot.getAttribute('aria-label')) ?? '')?.[1]);
    const before = await tokens();
    await expect.poll(tokens, { timeout: 30_000 }).toBeGreaterThan(before);
    await slot.click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText(`Request ${reply.headers.get('x-request-id')}`).waitFor();
    await dialog.getByRole('button', { name: 'Cancel this request' }).click();
    await dialog.getByText('Cancelled: its client is told so.').waitFor();
    await page.keyboard.press('Escape');
    expect(await end).toMatchObject({ error: { code: 'request_cancelled' } });
    await page.getByRole('cell', { name: 'an administrator ended this request' }).waitFor();
    await page.getByRole('row', { name: 'an administrator ended this request' }).getByRole('button').click();
    await dialog.getByText(/^After .*: a slot on w\d\./).waitFor();
  });
});

it('a request is ended also by a gateway that it did not come through', async () => {
  const reply = await slowly('[[tokenDelayMs=30 repeat=2000]] word ', { max_tokens: 2_000 }, other);
  const ended = await post('/admin/cancel', { request: reply.headers.get('x-request-id') });
  expect(ended.status).toBe(200);
  expect(await lastOf(reply)).toMatchObject({ error: { code: 'request_cancelled' } });
});

describe('buttons', () => {
  it('pin and unpin a model, preload another, drain and undrain a worker', async () => {
    await using page = await signedIn();
    await page.getByRole('button', { name: 'Pin m on w1' }).click();
    await page.getByText('m stays on w1').waitFor();
    await page.getByRole('button', { name: 'Preload other' }).click();
    await page.getByText(/^other on w\d: (loaded|ordered|loading)$/).waitFor();
    await page.getByRole('button', { name: 'Drain w2', exact: true }).click();
    await page.getByText('w2 finishes what runs and takes nothing new').waitFor();
    // Each is seen as soon as the worker has said that it is so.
    await page.getByRole('row', { name: /^other.* 1 of 2/ }).waitFor();
    await page.getByText('drained', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Unpin m on w1' }).click();
    await page.getByRole('button', { name: 'Undrain w2' }).click();
    await page.getByRole('button', { name: 'Pin m on w1' }).waitFor();
    await page.getByText('drained', { exact: true }).waitFor({ state: 'hidden' });
  });
});

describe('the playground', () => {
  it('chats with a model, and tells first token, speed, worker and slot', async () => {
    await using page = await signedIn('#playground');
    await page.getByLabel('Model', { exact: true }).selectOption('m:latest');
    await page.getByLabel('Message').fill('[[tokenDelayMs=20 repeat=3]] hello <b>you</b> ');
    await page.keyboard.press('Control+Enter');
    const answer = page.getByRole('article').nth(1);
    await answer.getByText(/^hello <b>you<\/b>hello/).waitFor();
    const figures = answer.locator('.figures');
    await figures.getByText('Worker').waitFor();
    expect(await figures.textContent()).toMatch(
      /First token\d+.*sSpeed[\d.,]+ tokens\/sTokens[1-9]\d*Total.*sWorkerw[12]Slot[12]Request\w+/,
    );
  });
});

describe('sessions and themes', () => {
  it('a session that is left in one window ends in the other', async () => {
    await using page = await signedIn();
    const other = await page.context().newPage();
    await other.goto(`${gateway.url}/console`);
    await other.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('Your session has ended.').waitFor();
    expect(await page.locator('.worker').count()).toBe(0);
  });

  it('the theme is what the system wants, until somebody chooses', async () => {
    await using page = await open();
    const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await background();
    await page.emulateMedia({ colorScheme: 'dark' });
    const dark = await background();
    expect(dark).not.toBe(light);
    await page.getByRole('button', { name: 'Theme: system' }).click();
    expect(await background()).toBe(light);
    await page.reload();
    expect(await background()).toBe(light);
    await page.getByRole('button', { name: 'Theme: light' }).click();
    expect(await background()).toBe(dark);
  });
});

describe('who cannot see or point', () => {
  it('finds nothing in the way on any page, in both themes', async () => {
    await using page = await open();
    expect(await barriers(page)).toEqual([]);
    await signIn(page);
    await page.getByRole('heading', { name: 'w1' }).waitFor();
    expect(await barriers(page)).toEqual([]);
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await barriers(page, 'color-contrast')).toEqual([]);
    await page.getByRole('link', { name: 'Playground' }).click();
    expect(await barriers(page)).toEqual([]);
  });

  it('does everything with the keyboard alone', async () => {
    await using page = await open();
    await page.locator('#login').waitFor();
    // The field has the focus from the start.
    await page.keyboard.type(key);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'w1' }).waitFor();
    using _client = await running();
    const mine = page.getByRole('button', { name: /^Slot \d: team default, m, / });
    await mine.waitFor();
    const focused = () => page.evaluate('document.activeElement.getAttribute("aria-label")') as Promise<string>;
    await page.keyboard.press('s');
    for (let steps = 0; !(await focused()).includes('team default'); steps += 1) {
      expect(steps).toBeLessThan(8);
      await page.keyboard.press('ArrowRight');
    }
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Holds its slot').waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    expect(await focused()).toContain('team default');
    await page.keyboard.press('/');
    await page.keyboard.type('w2');
    await page.getByRole('heading', { name: 'w1' }).waitFor({ state: 'hidden' });
    await page.keyboard.press('Tab');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('2');
    await page.getByLabel('Message').waitFor();
    expect(await page.evaluate('document.activeElement.getAttribute("aria-label")')).toBe('Message');
  });
});

describe('a hundred workers, some with names that want to be markup, and an open door', () => {
  const evil = '<img src=x onerror="window.hacked=1">';
  const aName = (at: number) => (at === 0 ? `0${evil}` : `box-${at}`);
  let busy = 0;
  const activityOf = (at: number): Activity => ({
    runs: Array.from({ length: 8 }, (_, slot) => ({
      request: `r${at}-${slot}`,
      model: evil,
      team: evil,
      key: evil,
      slot,
      embeds: false,
      phase: 'decode',
      seconds: 1,
      promptTokens: 5,
      cachedTokens: 0,
      outputTokens: (busy += 1),
      outputMax: 100_000,
    })),
    memory: { usedBytes: 2 ** 35, bytes: 2 ** 36, utilization: 0.9 },
  });

  it('are shown as text, are 800 cells that move, and unfold one by one', async () => {
    const workers = Array.from({ length: 100 }, (_, at) => ({
      id: aName(at),
      slots: 8,
      models: [aCard({ name: evil, vramBytes: 2 ** 33, failed: at === 1 ? { reason: evil } : null })],
      activity: () => activityOf(at),
    }));
    await using rig = await startRig({ clock: systemClock, workers });
    for (const worker of rig.workers.slice(0, 1)) worker.announce({ device: evil });
    await using page = await open('', rig.url);
    await page.getByRole('button', { name: aName(0), exact: true }).waitFor();
    await expect.poll(() => page.locator('.slot[data-phase=decode]').count(), { timeout: 30_000 }).toBe(800);
    const last = page.locator('.worker').last().locator('.slot').last();
    const before = await last.getAttribute('aria-label');
    await expect.poll(() => last.getAttribute('aria-label'), { timeout: 30_000 }).not.toBe(before);
    await page.getByLabel('Filter workers and requests').fill('box-77');
    await expect.poll(() => page.locator('.worker').count(), { timeout: 30_000 }).toBe(1);
    await page.getByRole('button', { name: 'box-77' }).click();
    await page.getByText('32.0 GiB of 64.0 GiB, 90 % busy').waitFor();
    await page.getByRole('button', { name: /^Slot 1: team <img/ }).click();
    await page.getByRole('dialog').getByText('Request r77-0').waitFor();
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    expect(await page.locator('main img, dialog img').count()).toBe(0);
    // What a page can hold stays small.
    expect(Number(await page.evaluate('document.querySelectorAll("*").length'))).toBeLessThan(15_000);
  });
});

it('no page complained', () => expect(complaints).toEqual([]));
