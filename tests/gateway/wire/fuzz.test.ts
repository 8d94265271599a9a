// Hostile bytes where every request begins: keys, and bodies. FUZZ=1000000 (`npm run fuzz`) sends a million of them.
import { Agent } from 'node:http';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { createAuthenticate } from '../../../gateway/keys.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { locked, make, root } from '../policy/calls.ts';
import { ask, chat, startRig } from '../rig.ts';

const runs = Number(process.env['FUZZ'] ?? 1_500);
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
const told = `FUZZ=${runs} SEED=${seed}`;
const timeout = 60_000 + runs * 10;

it(`no header opens the door or breaks it (${told})`, { timeout }, async () => {
  await using rig = await locked();
  const { id, secret } = await make(rig, { name: 'fuzzed' });
  const authenticate = createAuthenticate([root], { book: rig.book, now: () => rig.clock.now() });
  const near = fc.constantFrom(
    '',
    root.slice(1),
    secret.slice(1),
    `berth_${id}.`,
    `berth_${id}`,
    'berth_',
    '__proto__',
  );
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), near);
  const credential = fc.tuple(near, text, text).map((parts) => parts.join(''));
  const scheme = fc.constantFrom('Bearer ', 'bearer\t', 'Basic ', 'Bearer  ', '', 'Bearer Bearer ');
  const headers = fc.record(
    { authorization: fc.tuple(scheme, credential).map((parts) => parts.join('')), 'x-api-key': credential },
    { requiredKeys: [] },
  );
  const property = fc.property(headers, (given) => {
    if (JSON.stringify(given).includes(secret) || JSON.stringify(given).includes(root)) return;
    expect(() => authenticate(given)).toThrow(Refusal);
  });
  fc.assert(property, { numRuns: runs, seed });
});

it(`no body is an internal error, and the gateway outlives all (${told})`, { timeout }, async () => {
  await using rig = await startRig({ workers: [{ slots: 64 }] });
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const bodies = [
    chat({ stream: true, temperature: 0.5, tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] }),
    chat({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object' } } } }),
    JSON.stringify({ model: 'tiny', prompt: 'hi', options: { num_ctx: 10, seed: 1, stop: ['a'] }, keep_alive: '5m' }),
  ].map((body) => Buffer.from(body));
  const bytes = fc.uint8Array({ maxLength: 6 });
  const edit = fc.record({ at: fc.nat(), drop: fc.nat({ max: 6 }), put: fc.oneof(bytes, fc.json().map(Buffer.from)) });
  const body = fc.tuple(fc.constantFrom(...bodies), fc.array(edit, { maxLength: 4 })).map(([start, edits]) =>
    edits.reduce<Buffer>((now, { at, drop, put }) => {
      const where = at % (now.length + 1);
      return Buffer.concat([now.subarray(0, where), put, now.subarray(where + drop)]);
    }, start),
  );
  const path = fc.constantFrom('/v1/chat/completions', '/api/chat', '/api/generate', '/api/show');
  const seen = new Set<number>();
  const errors = () => rig.lines.filter(({ level }) => level === 'error');
  const property = fc.asyncProperty(path, body, async (at, text) => {
    const { status } = await ask(rig, { path: at, body: text, agent }).answer;
    seen.add(status);
    expect(status).toBeLessThan(500);
    if (rig.lines.length < 1_000) return;
    // A million of them would fill the memory.
    expect(errors()).toEqual([]);
    for (const list of [rig.lines, rig.takes, rig.leaves, rig.worker.seen]) list.length = 0;
  });
  await fc.assert(property, { numRuns: runs, seed });
  expect(seen.has(400)).toBe(true);
  expect(errors()).toEqual([]);
  agent.destroy();
});

it('whether a key exists, or how much of it is right, cannot be told by the time that its refusal takes', async () => {
  await using rig = await locked();
  const { id, secret } = await make(rig, {});
  const authenticate = createAuthenticate([root], { book: rig.book, now: () => rig.clock.now() });
  const rest = 'x'.repeat(32);
  const known = { authorization: `Bearer berth_${id}.${rest}` };
  /** All but its last character are right. */
  const near = { authorization: `Bearer ${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}` };
  const unknown = { authorization: `Bearer berth_${id.replace(/./g, '0')}.${rest}` };
  const timeOf = (headers: typeof known) => {
    const startMs = performance.now();
    for (let times = 0; times < 200; times += 1) {
      try {
        authenticate(headers);
        expect.fail('it opened the door');
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
      }
    }
    return performance.now() - startMs;
  };
  const times = Array.from({ length: 60 }, () => [known, unknown, near].map(timeOf));
  // The least, which nothing but the work itself is in: a loaded machine only adds.
  const leastOf = (which: number) => Math.min(...times.map((all) => all[which] ?? 0));
  const ratios = [leastOf(0) / leastOf(1), leastOf(2) / leastOf(0)];
  if (process.env['FIGURES'])
    console.log(
      'known / unknown, nearly right / wrong:',
      ratios.map((each) => each.toFixed(3)),
    );
  // A comparison that ended at the first wrong byte, or a hash of the secret alone, would be far beyond.
  for (const ratio of ratios) expect([ratio, ratio > 0.5 && ratio < 2]).toEqual([ratio, true]);
});
