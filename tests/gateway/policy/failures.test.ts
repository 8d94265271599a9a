// Wrong keys from one address are slowed down, and never lock out a right one for long.
import { expect, it } from 'vitest';
import { infer, locked, make, root } from './calls.ts';

const wrong = 'berth_000000000000.wrong';

it('thirty wrong keys are told so, then wrong ones wait and learn for how long; a key that we made always comes in', async () => {
  await using rig = await locked();
  const { secret } = await make(rig, {});
  for (let at = 0; at < 30; at += 1) expect((await infer(rig, wrong)).status).toBe(401);
  const slowed = await infer(rig, wrong);
  expect([slowed.status, slowed.headers['retry-after'], slowed.text]).toEqual([
    429,
    '1',
    expect.stringContaining('too many wrong keys'),
  ]);
  expect((await infer(rig, secret)).status).toBe(200);
  await rig.clock.advance(1_000);
  expect([(await infer(rig, wrong)).status, (await infer(rig, wrong)).status]).toEqual([401, 429]);
});

it('a key of the settings is not guessed meanwhile, comes in after a moment, and then always', async () => {
  await using rig = await locked();
  const spend = async () => {
    while ((await infer(rig, wrong)).status === 401);
  };
  await spend();
  expect((await infer(rig, root)).status).toBe(429);
  await rig.clock.advance(1_000);
  expect((await infer(rig, root)).status).toBe(200);
  await spend();
  expect((await infer(rig, root)).status).toBe(200);
});

it('who sends no key, or an empty one, is told that one is needed as often as he asks', async () => {
  await using rig = await locked();
  for (let at = 0; at < 40; at += 1) expect((await infer(rig, '')).status).toBe(401);
});
