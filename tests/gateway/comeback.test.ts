// A refused client that comes back with the same request keeps its age.
import { expect, test } from 'vitest';
import { createComebacks } from '../../gateway/comeback.ts';
import { virtualClock } from '../doubles/clock.ts';
import { aJob } from './a-job.ts';

const secret = 'a secret of this test';

test('the same key, model and body, said to be a retry, get the age of the first try, once', () => {
  const comebacks = createComebacks({ clock: virtualClock(), secret });
  comebacks.refused(aJob(), 1_000);
  expect(comebacks.ageOf(aJob())).toBeNull();
  expect(comebacks.ageOf(aJob({ retry: true, body: Buffer.from('another') }))).toBeNull();
  expect(comebacks.ageOf(aJob({ retry: true, owner: { team: 'red', key: 'eve' } }))).toBeNull();
  expect(comebacks.ageOf(aJob({ retry: true }))).toBe(1_000);
  expect(comebacks.ageOf(aJob({ retry: true }))).toBeNull();
});

test('an age is forgotten after a minute, and of very many the oldest first', async () => {
  const clock = virtualClock();
  const comebacks = createComebacks({ clock, secret });
  comebacks.refused(aJob(), 1);
  await clock.advance(60_001);
  expect(comebacks.ageOf(aJob({ retry: true }))).toBeNull();

  for (let n = 0; n < 4_100; n += 1) comebacks.refused(aJob({ body: Buffer.from(`body ${n}`) }), n);
  expect(comebacks.ageOf(aJob({ retry: true, body: Buffer.from('body 0') }))).toBeNull();
  expect(comebacks.ageOf(aJob({ retry: true, body: Buffer.from('body 4099') }))).toBe(4_099);
});
