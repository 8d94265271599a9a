// What a worker says of itself: the roster is made of these. The ledger carries them without looking inside.

export const protocolVersion = 1;

export interface ModelCard {
  /** Canonical name, always with a tag: `llama3.2:latest`. */
  name: string;
  loaded: boolean;
  /** Loaded, and not so lately that it may not go yet for another model. */
  evictable: boolean;
  /** It stays, whatever else is waited for; left out = it may go. */
  pinned?: true;
  /** What a load takes here, ms; left out = not known. */
  loadMs?: number;
  /** Tokens a second that one answer gets here; left out = not known. */
  tokensPerS?: number;
  /** Requests that used it at any moment of about the last minute, on average. */
  heat?: number;
  /** Why it is not to be loaded now: a load failed, or its engine died too often (`reason: null`). */
  failed: { reason: string | null } | null;
  /** Context of one slot in tokens: as loaded, else as it would be loaded. */
  contextTokens: number;
  /** Context that the model was trained for, tokens; `null` = its file does not say. */
  trainedTokens: number | null;
  sizeBytes: number;
  /** Bytes that the loaded model takes on the device; 0 when not loaded or on the CPU. */
  vramBytes: number;
  /** 64 hex characters that identify the file's content. */
  digest: string;
  architecture: string;
  /** As people write it, e.g. `8.0B`. */
  parameterSize: string;
  /** As people write it, e.g. `Q8_0`. */
  quantization: string;
  /** RFC 3339. */
  modifiedAt: string;
  capabilities: ('completion' | 'embedding' | 'tools' | 'thinking' | 'insert' | 'vision' | 'audio')[];
  /** When an idle model will be unloaded, ms since the Unix epoch; `null` = busy, pinned or not loaded. */
  expiresAt: number | null;
}

export interface Announcement {
  protocol: number;
  worker: string;
  epoch: string;
  /** Origin at which gateways reach it, e.g. `http://10.0.0.7:9401`. */
  url: string;
  slots: number;
  /** Most models that are loaded at a time. */
  loadedMax: number;
  /** `draining`: it is about to leave. `drained`: an operator wants it to rest; it stays in the pool. */
  state: 'ready' | 'draining' | 'drained' | 'stalled';
  /** `cpu`, or the GPU's name. */
  device: string;
  /** Millions of bytes of weights that it reads in a second of decoding; left out = not measured yet. */
  speed?: number;
  /** Beside others of the pool, as gateways have told it: it may have so many times their requests. */
  weight?: number;
  /** Hashes of beginnings of prompts that it has cached, packed (`prefix.ts`). */
  prefixes?: string;
  models: ModelCard[];
  /** Models can be pulled into its folder. */
  pulls?: true;
  /** What is on its disk, or was to be pulled, and cannot be served. */
  problems?: readonly Problem[];
}

/** Why a model cannot be served, or not as it was meant to be: a sentence. */
export interface Problem {
  /** Canonical name; '' = every model. */
  model: string;
  reason: string;
}

/**
 * What a worker serves beside its models: a slot of it for what runs beside it on the same GPU. A model's name always has
 * a colon, a worker's has none.
 */
export function seatOn(worker: string): string {
  return `@${worker}`;
}

/** The worker whose seat it is; `null` = it is the name of a model. */
export function workerOfSeat(name: string): string | null {
  return name.startsWith('@') && !name.includes(':') ? name.slice(1) : null;
}

/**
 * As text: first the cards of models that only lie on the disk. They are most of it and hardly ever change, while what is
 * loaded changes each second, so who has read them once need not read them again.
 */
export function writeAnnouncement({ models, ...rest }: Announcement): string {
  const { shelf = [], used = [] } = Object.groupBy(models, ({ loaded, heat }) => (loaded || heat ? 'used' : 'shelf'));
  return JSON.stringify({ shelf, ...rest, models: used });
}
