// What the console shows, as it travels: written here once for the gateway and for its page. Never a word of a prompt.
import type { Memory, Run } from '@berth/shared/activity.ts';
import type { Announcement } from '@berth/shared/announcement.ts';

/** Each part travels when it has changed. */
export interface Snapshot {
  pool: PoolPart;
  workers: WorkerRow[];
  models: ModelRow[];
  running: RunningRow[];
  queue: QueuePart;
  recent: RecentRow[];
  history: HistoryPart;
}

export interface PoolPart {
  version: string;
  /** This gateway's id. */
  gateway: string;
  /** False while the ledger does not answer. */
  up: boolean;
  degraded: boolean;
  draining: boolean;
  gateways: number;
  slots: number;
  held: number;
  waiting: number;
  /** Workers, runs and the like that are not listed because there are too many. */
  left: { workers: number; running: number; models: number };
  /** Milliseconds since the Unix epoch. */
  nowMs: number;
}

export interface WorkerRow {
  worker: string;
  state: Announcement['state'];
  device: string;
  slots: number;
  /** Of its lane for embeddings; 0 = it has none. */
  embedSlots: number;
  /** `null` = it does not tell what it does. */
  memory: Memory | null;
  /** Only what is loaded, or cannot be. */
  models: WorkerModel[];
}

interface WorkerModel {
  name: string;
  bytes: number;
  /** It stays, whatever else is waited for. */
  pinned: boolean;
  /** When it will be unloaded, ms since the Unix epoch; `null` = not by itself. */
  expiresAt: number | null;
  /** Why it is not to be loaded now. */
  failed: string | null;
}

export interface ModelRow {
  name: string;
  /** Workers that have its file, and that have it loaded. */
  workers: number;
  loaded: number;
  sizeBytes: number;
  parameterSize: string;
  quantization: string;
  contextTokens: number;
  capabilities: string[];
}

export interface RunningRow extends Omit<Run, 'cachedTokens'> {
  worker: string;
}

export interface QueuePart {
  /** In the whole pool. */
  models: { model: string; tickets: number }[];
  priorities: { priority: string; tickets: number }[];
  /** At this gateway. */
  here: QueueRow[];
}

export interface QueueRow {
  request: string;
  model: string;
  team: string;
  key: string;
  priority: string;
  /** An estimate: a fair order has no fixed rank. */
  place: number | null;
  waitedS: number;
  /** Seconds; half of all wait no longer than the one, nine of ten no longer than the other; `null` = unknown. */
  waitP50S: number | null;
  waitP90S: number | null;
}

export interface RecentRow {
  request: string;
  endedMs: number;
  outcome: string;
  /** Of a refusal. */
  why: string | null;
  dialect: string;
  model: string | null;
  team: string | null;
  key: string | null;
  priority: string | null;
  worker: string | null;
  /** Why that worker. */
  reason: string | null;
  waitMs: number | null;
  ttftMs: number | null;
  totalMs: number;
  loadMs: number | null;
  promptTokens: number | null;
  cachedTokens: number | null;
  outputTokens: number | null;
  tokensPerS: number | null;
  retries: number;
}

/** The last minutes at this gateway, oldest first; the last step is not over yet. */
export interface HistoryPart {
  stepS: number;
  requests: number[];
  failed: number[];
  /** Output tokens, in the steps in which they were decoded. */
  tokens: number[];
  /** `null` = no request had its first token in that step. */
  ttftP50Ms: (number | null)[];
  ttftP95Ms: (number | null)[];
  /** Most that waited in the whole pool. */
  waiting: number[];
}
