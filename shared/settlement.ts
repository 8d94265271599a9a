// What a request really used: the worker's last word on it, sent as an HTTP trailer and repeated in beats.

/** Name of the HTTP trailer that ends a worker's reply to a gateway. No trailer = the stream was cut. */
export const settlementTrailer = 'berth-settlement';

export interface Settlement {
  /** `cancelled` never reaches a client. */
  finish: 'stop' | 'length' | 'load' | 'unload' | 'cancelled' | 'error';
  promptTokens: number;
  /** Prompt tokens that were in the KV cache already. */
  cachedTokens: number;
  outputTokens: number;
  /** From the worker's acceptance to the first token, milliseconds. */
  ttftMs: number;
  prefillMs: number;
  decodeMs: number;
  /** Time spent loading the model for this request, milliseconds. */
  loadMs: number;
}

export function encodeSettlement(settlement: Settlement): string {
  return JSON.stringify(settlement);
}

/** The settlement in a trailer's value, or `null` when it is not one. */
export function decodeSettlement(value: string | undefined): Settlement | null {
  if (value === undefined) return null;
  try {
    const parsed = JSON.parse(value) as Settlement;
    return typeof parsed.finish === 'string' && Number.isFinite(parsed.outputTokens) ? parsed : null;
  } catch {
    return null;
  }
}
