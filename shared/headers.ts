// Names of headers. Those between gateway and worker never reach a client and are never taken from one.
export const leaseHeader = 'berth-lease';
export const epochHeader = 'berth-epoch';
export const modelHeader = 'berth-model';
export const ownerHeader = 'berth-owner';
/** Most output tokens of each answer that the key may have; 0 = as many as the client asks for. */
export const outputMaxHeader = 'berth-output-max';
/** Most tokens of prompt and answer together that the key may have; 0 = the model's context. */
export const contextMaxHeader = 'berth-context-max';
/** `1` = no other request may use the model on the worker while this one does. */
export const aloneHeader = 'berth-alone';
/** On a reply, and told to the client: which of the worker's slots ran it, from 0. */
export const slotHeader = 'berth-slot';
export const timeHeader = 'berth-time';
export const signatureHeader = 'berth-signature';

/** On a worker's reply: why a request did not start. Its presence is the proof that nothing ran. */
export const notStartedHeader = 'berth-not-started';
export type NotStarted = 'busy' | 'stale' | 'draining';

/** On a worker's reply that is not a 200: the refusal (`encodeRefusal`), from which the gateway writes its own reply. */
export const refusalHeader = 'berth-refusal';

/** On a worker's reply: what is known when its first token comes; for the client's headers. */
export const startedHeader = 'berth-started';

export interface Started {
  promptTokens: number;
  /** Prompt tokens that were in the KV cache already. */
  cachedTokens: number;
  /** What the request waited for the model to be loaded, ms. */
  loadMs: number;
}

export function encodeStarted({ promptTokens, cachedTokens, loadMs }: Started): string {
  return `${promptTokens} ${cachedTokens} ${loadMs}`;
}

/** `null` when a worker does not say it. */
export function decodeStarted(value: string | undefined): Started | null {
  const [, promptTokens, cachedTokens, loadMs] =
    /^(\d{1,9}) (\d{1,9}) (\d{1,9}(?:\.\d{1,6})?)$/.exec(value ?? '') ?? [];
  if (loadMs === undefined) return null;
  return { promptTokens: Number(promptTokens), cachedTokens: Number(cachedTokens), loadMs: Number(loadMs) };
}

/** On a reply to a client: the worker, why it, and what the request waited for. */
export const clientHeaders = {
  worker: 'berth-worker',
  gateway: 'berth-gateway',
  reason: 'berth-reason',
  waitMs: 'berth-wait-ms',
  loadMs: 'berth-load-ms',
  promptTokens: 'berth-prompt-tokens',
  reusedTokens: 'berth-reused-tokens',
} as const;
