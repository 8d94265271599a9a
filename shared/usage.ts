// What a key has used in a month, as gateways tell it and the command line shows it.
export interface UsageRow {
  /** `2026-11`, UTC. */
  month: string;
  team: string;
  key: string;
  requests: number;
  promptTokens: number;
  cachedTokens: number;
  outputTokens: number;
  slotSeconds: number;
}
