// The console in a real browser, on a pool of real processes.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { echoModels, startGateway, startWorker, workersReady } from '../e2e/berth.ts';
import type { Berth } from '../e2e/berth.ts';
import { browserProgram, startChromium } from '../tools/chromium.ts';

const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
const key = 'an-admin-key-of-the-console';
const authorization = `Bearer ${key}`;
const stack = new AsyncDisposableStack();
let gateway: Berth;
let browser: Browser;
/** What a page complained about: scripts that failed, and what its policy forbade. */
const complaints: string[] = [];

beforeAll(() => browserProgram(), 300_000);
beforeAll(async () => {
  const models = stack.use(await echoModels('m', 'other'));
  const common = { REDIS_URL: inject('redisUrl'), POOL: `console-${randomUUID()}`, LOG_LEVEL: 'warn' };
  const echo = { ...common, ENGINE: 'echo', MODELS_DIR: models.path, NUM_PARALLEL: '2' };
  const workers = ['w1', 'w2'].map((id) => startWorker({ ...echo, WORKER_ID: id }));
  [gateway] = await Promise.all([startGateway({ ...common, API_KEY: key }), ...workers]);
  for (const berth of [gateway, ...(await Promise.all(workers))]) stack.use(berth);
  await workersReady(gateway, 2);
  browser = await startChromium();
  stack.defer(() => browser.close());
}, 90_000);
afterAll(() => stack.disposeAsync());

/** A page of its own, without anybody's session. */
async function open(hash = ''): Promise<Page & AsyncDisposable> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  page.on('pageerror', ({ message }) => complaints.push(message));
  // A refused key is an answer, which the browser tells as an error.
  page.on(
    'console',
    (line) => line.type() === 'error' && !/status of 40\d/.test(line.text()) && complaints.push(line.text()),
  );
  await page.goto(`${gateway.url}/console${hash}`);
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
async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const found = (await page.evaluate('axe.run()')) as { violations: { id: string; nodes: { html: string }[] }[] };
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

/** An answer that takes its time, read whole. */
function slowly(content: string, more: Record<string, unknown> = {}) {
  const body = { model: 'm', stream: true, messages: [{ role: 'user', content }], ...more };
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
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
    await expect.poll(tokens, { timeout: 15_000 }).toBeGreaterThan(before);
    await slot.click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText(`Request ${reply.headers.get('x-request-id')}`).waitFor();
    await dialog.getByRole('button', { name: 'Cancel this request' }).click();
    await dialog.getByText('Cancelled: its client is told so.').waitFor();
    await page.keyboard.press('Escape');
    expect(await end).toMatchObject({ error: { code: 'request_cancelled' } });
    await page.getByRole('cell', { name: 'an administrator ended this request' }).waitFor();
  });
});

describe('who cannot see or point', () => {
  it.each(['light', 'dark'] as const)('finds nothing in the way on any page, in %s colours', async (colorScheme) => {
    await using page = await open();
    await page.emulateMedia({ colorScheme });
    expect(await barriers(page)).toEqual([]);
    await signIn(page);
    await page.getByRole('heading', { name: 'w1' }).waitFor();
    expect(await barriers(page)).toEqual([]);
    await page.getByRole('link', { name: 'Playground' }).click();
    expect(await barriers(page)).toEqual([]);
  });
});

it('no page complained', () => expect(complaints).toEqual([]));
