// How a command to Redis may fail.

/** No answer in time, or no connection. */
export class RedisUnavailable extends Error {
  override readonly name = 'RedisUnavailable';
}

/** The server answered with an error. `code` is its first word, e.g. `NOSCRIPT`. */
export class RedisReplyError extends Error {
  override readonly name = 'RedisReplyError';
  readonly code: string;

  constructor(message: string) {
    super(message);
    this.code = message.split(' ', 1)[0] ?? '';
  }
}

/** This server cannot carry a ledger; the message says what to change. */
export class RedisUnfit extends Error {
  override readonly name = 'RedisUnfit';
}

/** An error of ours for one of ioredis's, which carry the whole command. */
export function fromIoredis(error: unknown): Error {
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) };
  return name === 'ReplyError' ? new RedisReplyError(message) : new RedisUnavailable(message);
}
