// A request's sampling values reach the sampler; what is not asked for is Ollama's default or off.
import { expect, test } from 'vitest';
import { samplerSettings } from '../../../worker/engine/llama/sampling.ts';
import { plainSampling } from '../requests.ts';

const prompt = Uint32Array.from({ length: 100 }, (_, index) => index);
const settingsOf = (more: Partial<typeof plainSampling>) =>
  samplerSettings({ ...plainSampling, ...more }, prompt, 2048, 1000);

test('the defaults are those that clients of Ollama expect, without penalties', () => {
  expect(settingsOf({ temperature: null })).toEqual({ temperature: 0.8, topK: 40, topP: 0.9, minP: 0, seed: 7 });
});

test('a seed is always set, in 32 bits', () => {
  expect(settingsOf({ seed: -1 }).seed).toBe(0xffffffff);
});

test('penalties look at the last tokens of the prompt', () => {
  const settings = settingsOf({ repeatPenalty: 1.2, repeatLastN: 3 });
  expect(settings).toMatchObject({ repeatPenalty: 1.2, repeatPenaltyMaxTokens: 3 });
  expect([...(settings.repeatPenaltyTokens ?? [])]).toEqual([97, 98, 99]);
});

test('a frequency penalty alone is enough, and no tokens to look at is none', () => {
  expect(settingsOf({ frequencyPenalty: 0.5 })).toMatchObject({ repeatPenaltyFrequencyPenalty: 0.5, repeatPenalty: 1 });
  expect(settingsOf({ frequencyPenalty: 0.5, repeatLastN: 0 })).not.toHaveProperty('repeatPenaltyTokens');
});

test('-1 means the whole context', () => {
  expect(settingsOf({ repeatPenalty: 2, repeatLastN: -1 }).repeatPenaltyMaxTokens).toBe(2048);
});
