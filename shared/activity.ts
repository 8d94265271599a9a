// What a worker tells of its slots when somebody looks: who runs what and how far. Never a word of a prompt.

/** Of one request: waiting for its model, reading its prompt (or computing what has no tokens), writing its answer. */
export type Phase = 'load' | 'prefill' | 'decode';

export interface Run {
  /** The request's id, as its client knows it. */
  request: string;
  model: string;
  team: string;
  key: string;
  /** From 0; in its lane, of generations or of embeddings. */
  slot: number;
  embeds: boolean;
  phase: Phase;
  /** Since it got the slot. */
  seconds: number;
  promptTokens: number;
  cachedTokens: number;
  outputTokens: number;
  /** Most output tokens that it asked for; `null` = as many as fit. */
  outputMax: number | null;
}

/** Of a device, or of the machine where the processor works. `null` = it does not tell. */
export interface Memory {
  usedBytes: number | null;
  bytes: number | null;
  /** 0 to 1. */
  utilization: number | null;
}

export interface Activity {
  runs: Run[];
  memory: Memory;
}

/** At a worker: its activity; and, with a request's id behind it, the end of one request. */
export const activityPath = '/internal/activity';
export const cancelPath = '/internal/cancel/';
