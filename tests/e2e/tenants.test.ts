// Two teams ask the same worker, each request with a number of its own: no answer tells another's, no usage counts
// another's tokens, and what one team has had read is never spared the other. NONCES=100000 (`npm run nonce`).
import { randomUUID } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { startGateway, startWorker, workersReady } from './berth.ts';
import { ask } from './requests.ts';

const requests = Number(process.env['NONCES'] ?? 600);
const lanes = 8;
const root = 'the-key-of-the-settings';
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

interface Team {
  id: string;
  secret: string;
  /** As its answers told it. */
  used: { requests: number; promptTokens: number; cachedTokens: number; outputTokens: number };
}

async function aTeam(url: string, team: string): Promise<Team> {
  const body = JSON.stringify({ team });
  const made = await fetch(`${url}/admin/keys`, { method: 'POST', headers: bearer(root), body });
  const { id, secret } = (await made.json()) as { id: string; secret: string };
  return { id, secret, used: { requests: 0, promptTokens: 0, cachedTokens: 0, outputTokens: 0 } };
}

/** Six digits; the first 900,000 are all different. */
const nonceOf = (at: number): string => String(100_000 + ((at * 317_813 + 4_181) % 900_000));

/** Those of one round begin alike, and with a number that no other round has. The model copies the code word. */
const promptOf = (round: number, nonce: string): string =>
  `<|im_start|>user\n${nonceOf(round)} flags. The flag of Noah is very yellow. The code word is ${nonce}. What is the ` +
  'code word?<|im_end|>\n<|im_start|>assistant\nThe code word is ';

interface Said {
  choices: { text: string }[];
  usage?: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details: { cached_tokens: number } };
}

async function answer(url: string, { secret, used }: Team, prompt: string, stream: boolean) {
  const asked = { model: 'berth-demo', temperature: 0, max_tokens: 6, stop: '.', prompt, stream };
  const body = { ...asked, stream_options: { include_usage: stream } };
  const { status, text } = await ask({ url, path: '/v1/completions', headers: bearer(secret), body });
  expect([status, text]).toEqual([200, text]);
  const frames = stream ? [...text.matchAll(/^data: (\{.*)$/gm)].map(([, frame]) => frame ?? '') : [text];
  const said = frames.map((frame) => JSON.parse(frame) as Said);
  const usage = said.findLast((one) => one.usage)?.usage;
  if (!usage) throw new Error(`no usage in ${text}`);
  used.requests += 1;
  used.promptTokens += usage.prompt_tokens;
  used.cachedTokens += usage.prompt_tokens_details.cached_tokens;
  used.outputTokens += usage.completion_tokens;
  const words = said.flatMap(({ choices }) => choices.map((choice) => choice.text)).join('');
  return { words, cachedShare: usage.prompt_tokens_details.cached_tokens / usage.prompt_tokens };
}

test(`${requests} requests of two teams`, { timeout: 60_000 + requests * 100 }, async () => {
  const pool = { REDIS_URL: inject('redisUrl'), POOL: `e2e-${randomUUID()}`, API_KEY: root, AUTH: 'on' };
  await using gateway = await startGateway(pool);
  await using _worker = await startWorker({ ...pool, NUM_PARALLEL: String(2 * lanes) });
  await workersReady(gateway, 1);
  const { url } = gateway;
  const teams = [await aTeam(url, 'red'), await aTeam(url, 'blue')];
  const issued = new Set<string>();
  const strange: { team: Team; prompt: string; words: string }[] = [];
  let [asked, right, warm, rounds] = [0, 0, 0, 0];

  /** The two teams in turn, twice: the first time nothing of the round can be known to a team but by the other. */
  async function round(number: number): Promise<void> {
    for (const [turn, team] of [...teams, ...teams].entries()) {
      const nonce = nonceOf(450_000 + (asked += 1));
      issued.add(nonce);
      const prompt = promptOf(number, nonce);
      const { words, cachedShare } = await answer(url, team, prompt, number % 2 === 0);
      if (words.includes(nonce)) right += 1;
      if (words !== nonce && issued.has(words)) strange.push({ team, prompt, words });
      if (turn < teams.length)
        expect(cachedShare, `of what ${team.id} asked first in round ${number}`).toBeLessThan(0.4);
      else if (cachedShare > 0.4) warm += 1;
    }
  }
  const lane = async () => {
    while (asked < requests) await round((rounds += 1));
  };
  await Promise.all(Array.from({ length: lanes }, lane));

  expect(issued.size).toBe(asked);
  // A model this small now and then copies wrongly, and among many numbers that may be another's: then alone as well.
  for (const { team, prompt, words } of strange) expect((await answer(url, team, prompt, false)).words).toBe(words);
  expect(right / asked).toBeGreaterThan(0.95);
  expect(warm / asked).toBeGreaterThan(0.2); // a team does find what it has had read itself
  const told = await fetch(`${url}/admin/usage`, { headers: bearer(root) });
  const { usage } = (await told.json()) as { usage: { key: string }[] };
  for (const { id, used } of teams) expect(usage.find(({ key }) => key === id)).toMatchObject(used);
});
