// From a request's sampling values to the binding's sampler settings. Pure.
import { Refusal } from '@berth/shared/outcome.ts';
import type { EngineRequest } from '../engine.ts';

/** What the native sampler takes; a missing field switches its part off. Temperature 0 = greedy. */
export interface SamplerSettings {
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  seed: number;
  tokenBiasKeys?: Uint32Array;
  tokenBiasValues?: Float32Array;
  repeatPenalty?: number;
  repeatPenaltyMaxTokens?: number;
  repeatPenaltyTokens?: Uint32Array;
  repeatPenaltyPresencePenalty?: number;
  repeatPenaltyFrequencyPenalty?: number;
}

/** Ollama's documented defaults, because most clients of this engine come from there; penalties are off. */
export const samplingDefaults = {
  temperature: 0.8,
  topK: 40,
  topP: 0.9,
  minP: 0,
  repeatPenalty: 1,
  repeatLastN: 64,
  presencePenalty: 0,
  frequencyPenalty: 0,
} as const;

/**
 * @param prompt the prompt's tokens: the last `repeatLastN` count for the penalties, as in llama.cpp
 * @param contextTokens what `repeatLastN` -1 means
 * @param vocabularyTokens ids of tokens are below this
 * @throws Refusal `bad_request` for a bias on a token that the model does not have
 */
export function samplerSettings(
  sampling: EngineRequest['sampling'],
  prompt: Uint32Array,
  contextTokens: number,
  vocabularyTokens: number,
): SamplerSettings {
  const settings: SamplerSettings = {
    temperature: sampling.temperature ?? samplingDefaults.temperature,
    topK: sampling.topK ?? samplingDefaults.topK,
    topP: sampling.topP ?? samplingDefaults.topP,
    minP: sampling.minP ?? samplingDefaults.minP,
    seed: sampling.seed >>> 0,
    ...biases(sampling.logitBias ?? [], vocabularyTokens),
  };
  const penalty = sampling.repeatPenalty ?? samplingDefaults.repeatPenalty;
  const presence = sampling.presencePenalty ?? samplingDefaults.presencePenalty;
  const frequency = sampling.frequencyPenalty ?? samplingDefaults.frequencyPenalty;
  const lastN = lastTokens(sampling.repeatLastN ?? samplingDefaults.repeatLastN, contextTokens);
  if (lastN === 0 || (penalty === 1 && presence === 0 && frequency === 0)) return settings;
  return {
    ...settings,
    repeatPenalty: penalty,
    repeatPenaltyMaxTokens: lastN,
    repeatPenaltyTokens: prompt.slice(-lastN),
    repeatPenaltyPresencePenalty: presence,
    repeatPenaltyFrequencyPenalty: frequency,
  };
}

function biases(
  bias: readonly (readonly [token: number, bias: number])[],
  vocabularyTokens: number,
): Pick<SamplerSettings, 'tokenBiasKeys' | 'tokenBiasValues'> {
  const strange = bias.find(([token]) => token >= vocabularyTokens);
  if (strange !== undefined) {
    const param = `logit_bias.${strange[0]}`;
    throw new Refusal('bad_request', `${param} is no token: this model's go from 0 to ${vocabularyTokens - 1}`, {
      param,
    });
  }
  if (bias.length === 0) return {};
  return {
    tokenBiasKeys: Uint32Array.from(bias, ([token]) => token),
    tokenBiasValues: Float32Array.from(bias, ([, value]) => value),
  };
}

function lastTokens(wanted: number, contextTokens: number): number {
  return wanted < 0 ? contextTokens : Math.min(wanted, contextTokens);
}
