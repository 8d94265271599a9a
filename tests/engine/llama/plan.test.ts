// A step decodes every answer's token, then a bounded piece of the waiting prompts.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { chunkFor, planStep } from '../../../worker/engine/llama/plan.ts';
import type { PlannedRun } from '../../../worker/engine/llama/plan.ts';

const limits = { batchTokensMax: 512, prefillTokensBusy: 128, prefillTokensBurst: 256, prefillTokensIdle: 512 };
const answering: PlannedRun = { promptLeft: 0, passedOver: 0 };
const reading = (promptLeft: number, passedOver = 0): PlannedRun => ({ promptLeft, passedOver });

test('every answering run gets its token, and a prompt a small chunk', () => {
  expect(planStep([answering, reading(2000), answering], limits)).toEqual([1, 128, 1]);
});

test('several prompts share a larger chunk', () => {
  expect(planStep([answering, reading(128), reading(2000), reading(2000)], limits)).toEqual([1, 128, 128, 0]);
});

test('a prompt has the whole batch while nobody answers', () => {
  expect(planStep([reading(2000)], limits)).toEqual([512]);
});

test('what would be left for a step of its own, and is too little for one, is read along', () => {
  expect(planStep([reading(100)], { ...limits, prefillTokensIdle: 64 })).toEqual([100]);
  expect(planStep([reading(128)], { ...limits, prefillTokensIdle: 64 })).toEqual([64]);
  expect(planStep([answering, reading(160)], limits)).toEqual([1, 160]);
  expect(planStep([answering, reading(540)], { ...limits, prefillTokensBusy: 512 })).toEqual([1, 511]);
});

test('the shortest remaining prompt comes first and the rest of the chunk goes on', () => {
  expect(planStep([answering, reading(500), reading(40)], limits)).toEqual([1, 216, 40]);
});

test('a prompt that is passed over comes before shorter ones in the end', () => {
  expect(planStep([answering, reading(1000, 8), reading(100)], limits)).toEqual([1, 256, 0]);
});

test('a long prompt waits a bounded number of steps behind a stream of short ones', () => {
  let passedOver = 0;
  while (planStep([answering, reading(2000, passedOver), reading(256)], limits)[1] === 0) passedOver += 1;
  expect(passedOver).toBeLessThanOrEqual(Math.ceil(2000 / limits.prefillTokensBusy));
});

test('never exceeds the batch, gives every answer its token, and always goes on', () => {
  const run = fc.record({ promptLeft: fc.integer({ min: 0, max: 5000 }), passedOver: fc.integer({ min: 0, max: 50 }) });
  fc.assert(
    fc.property(fc.array(run, { minLength: 1, maxLength: 64 }), (runs) => {
      const shares = planStep(runs, limits);
      const total = shares.reduce((sum, share) => sum + share, 0);
      expect(total).toBeGreaterThan(0);
      expect(total).toBeLessThanOrEqual(limits.batchTokensMax);
      runs.forEach((run, index) => {
        if (run.promptLeft === 0) expect(shares[index]).toBe(1);
        else expect(shares[index]).toBeLessThanOrEqual(run.promptLeft);
      });
    }),
  );
});

test('the chunk follows the measured speed between its bounds', () => {
  expect(chunkFor(100, null, 512)).toBe(512);
  expect(chunkFor(100, 2, 512)).toBe(200);
  expect(chunkFor(100, 0.1, 512)).toBe(64);
  expect(chunkFor(100, 100, 512)).toBe(512);
});
