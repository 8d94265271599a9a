// `berth worker`: what its options mean.
import { expect, test } from 'vitest';
import { typeIn } from './typed.ts';

test('options are the settings of the same meaning', async () => {
  const { code, became } = await typeIn('worker --upstream http://box:11434 --slots 4 --key sk --id box', {});
  const settings = { UPSTREAM: 'http://box:11434', NUM_PARALLEL: '4', UPSTREAM_KEY: 'sk', WORKER_ID: 'box' };
  expect([code, became]).toEqual([0, [{ part: 'worker', settings }]]);
});

test('a server joins with as many slots as are said, by option or by setting', async () => {
  const { code, explained, became } = await typeIn('worker --upstream http://box:11434', {});
  expect([code, became]).toEqual([2, []]);
  expect(explained).toContain('--slots is needed');
  expect((await typeIn('worker --upstream http://box:11434', { env: { NUM_PARALLEL: '1' } })).code).toBe(0);
});
