// One signal out of several.
import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { linked } from '../../worker/abort.ts';

it('aborts with the reason of the first that aborts', () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const { signal } = linked([one.signal, other.signal]);
  expect(signal.aborted).toBe(false);
  other.abort(new Error('first'));
  one.abort(new Error('second'));
  expect(signal.reason).toEqual(new Error('first'));
});

it('is aborted from the start when one of them is', () => {
  const gone = AbortSignal.abort(new Error('before'));
  expect(linked([new AbortController().signal, gone]).signal.reason).toEqual(new Error('before'));
});

it('leaves nothing behind, aborted or not', () => {
  const long = new AbortController();
  for (let round = 0; round < 100; round += 1) {
    const request = new AbortController();
    const link = linked([request.signal, long.signal]);
    if (round % 2 === 0) request.abort();
    link[Symbol.dispose]();
  }
  expect(getEventListeners(long.signal, 'abort')).toEqual([]);
  const after = linked([long.signal]);
  after[Symbol.dispose]();
  long.abort();
  expect(after.signal.aborted).toBe(false);
});
