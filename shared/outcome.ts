// How a request may end: one closed table. Status, error body, metric label and log field all come from it.

export type DialectName = 'openai' | 'ollama' | 'anthropic';

function everywhere<S extends number>(status: S): Record<DialectName, S> {
  return { openai: status, ollama: status, anthropic: status };
}

/** One row per way to refuse or to fail. `retryable` rows carry Retry-After. */
export const refusals = {
  bad_request: { ...everywhere(400), type: 'invalid_request_error', code: null, retryable: false },
  context_exceeded: {
    ...everywhere(400),
    type: 'invalid_request_error',
    code: 'context_length_exceeded',
    retryable: false,
  },
  unauthorized: { ...everywhere(401), type: 'authentication_error', code: 'invalid_api_key', retryable: false },
  forbidden: { ...everywhere(403), type: 'permission_error', code: 'forbidden', retryable: false },
  key_not_found: { ...everywhere(404), type: 'invalid_request_error', code: 'key_not_found', retryable: false },
  // A name that is not ours: a page that was led here by its own DNS (rebinding).
  misdirected: { ...everywhere(421), type: 'invalid_request_error', code: 'unknown_host', retryable: false },
  rate_limited: { ...everywhere(429), type: 'rate_limit_error', code: 'rate_limit_exceeded', retryable: true },
  budget_spent: { ...everywhere(429), type: 'insufficient_quota', code: 'insufficient_quota', retryable: false },
  route_not_found: { ...everywhere(404), type: 'invalid_request_error', code: 'unknown_url', retryable: false },
  model_not_found: { ...everywhere(404), type: 'invalid_request_error', code: 'model_not_found', retryable: false },
  method_not_allowed: {
    ...everywhere(405),
    type: 'invalid_request_error',
    code: 'method_not_allowed',
    retryable: false,
  },
  length_required: { ...everywhere(411), type: 'invalid_request_error', code: 'length_required', retryable: false },
  body_too_large: { ...everywhere(413), type: 'invalid_request_error', code: 'request_too_large', retryable: false },
  // What each family's clients retry: openai and LangChain need 429 with Retry-After; Ollama's own answer is 503,
  // Anthropic's for "overloaded" 529.
  queue_full: {
    openai: 429,
    ollama: 503,
    anthropic: 529,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    retryable: true,
  },
  queue_timeout: {
    openai: 503,
    ollama: 503,
    anthropic: 529,
    type: 'server_error',
    code: 'queue_timeout',
    retryable: true,
  },
  no_worker: { openai: 503, ollama: 503, anthropic: 529, type: 'server_error', code: 'overloaded', retryable: true },
  ledger_unavailable: {
    openai: 503,
    ollama: 503,
    anthropic: 529,
    type: 'server_error',
    code: 'overloaded',
    retryable: true,
  },
  draining: { openai: 503, ollama: 503, anthropic: 529, type: 'server_error', code: 'overloaded', retryable: true },
  load_failed: {
    openai: 503,
    ollama: 500,
    anthropic: 500,
    type: 'server_error',
    code: 'model_load_failed',
    retryable: false,
  },
  // A model could not be fetched: its registry, the disk, or what came of it.
  pull_failed: { ...everywhere(500), type: 'server_error', code: 'pull_failed', retryable: false },
  worker_failed: { ...everywhere(502), type: 'server_error', code: 'worker_failed', retryable: false },
  mount_failed: { ...everywhere(502), type: 'server_error', code: 'bad_gateway', retryable: false },
  // Not the worker, but the process that ran the model, and with it all that it ran: one of them may be the cause.
  engine_died: { ...everywhere(502), type: 'server_error', code: 'worker_failed', retryable: false },
  quarantined: { ...everywhere(422), type: 'invalid_request_error', code: 'request_quarantined', retryable: false },
  key_isolated: { ...everywhere(429), type: 'rate_limit_error', code: 'key_isolated', retryable: true },
  // A status that no client repeats by itself: somebody wanted this to end.
  cancelled: { ...everywhere(410), type: 'invalid_request_error', code: 'request_cancelled', retryable: false },
  internal: { ...everywhere(500), type: 'server_error', code: 'internal_error', retryable: false },
} as const satisfies Record<
  string,
  Record<DialectName, number> & { type: string; code: string | null; retryable: boolean }
>;

export type RefusalName = keyof typeof refusals;

/** Every value of the `outcome` label: the refusals, and the two endings that are nobody's fault. */
export type Outcome = RefusalName | 'ok' | 'client_gone';

/** A request that ends without the answer it asked for. The message is for the client: it says what to do. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly outcome: RefusalName;
  /** The field of the request at fault, as the client wrote it, e.g. `messages[0].role`. */
  readonly param: string | null;
  /** Seconds after which a retry makes sense; only on retryable outcomes. */
  readonly retryAfterS: number | null;

  constructor(outcome: RefusalName, message: string, more: { param?: string; retryAfterS?: number } = {}) {
    super(message);
    this.outcome = outcome;
    this.param = more.param ?? null;
    this.retryAfterS = more.retryAfterS ?? null;
  }
}

/** Longest message that travels in a header, in characters. */
const messageMax = 1_000;

/** A refusal as the value of an HTTP header: ASCII only. */
export function encodeRefusal({ outcome, message, param, retryAfterS }: Refusal): string {
  return encodeURIComponent(JSON.stringify({ outcome, message: message.slice(0, messageMax), param, retryAfterS }));
}

/** The refusal in a header's value, or `null` when it is not one. */
export function decodeRefusal(value: string | undefined): Refusal | null {
  if (value === undefined) return null;
  try {
    const { outcome, message, param, retryAfterS } = JSON.parse(decodeURIComponent(value)) as Refusal;
    if (!Object.hasOwn(refusals, outcome)) return null;
    return new Refusal(outcome, message, { ...(param && { param }), ...(retryAfterS && { retryAfterS }) });
  } catch {
    return null;
  }
}
