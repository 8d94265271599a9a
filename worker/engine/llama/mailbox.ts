// Messages from one side that calls, to one side that awaits.

export interface Mailbox<Message> {
  put(message: Message): void;
  /** Every `take` rejects with this once what was put before has been taken. */
  fail(error: Error): void;
  take(): Promise<Message>;
}

/** For one reader that takes one message at a time. Its size is bounded by what the writer may say. */
export function mailbox<Message>(): Mailbox<Message> {
  const messages: Message[] = [];
  let failure: Error | null = null;
  let waiting: PromiseWithResolvers<Message> | null = null;
  return {
    put: (message) => {
      if (waiting === null) messages.push(message);
      else waiting.resolve(message);
      waiting = null;
    },
    fail: (error) => {
      failure = error;
      waiting?.reject(error);
      waiting = null;
    },
    take: async () => {
      const message = messages.shift();
      if (message !== undefined) return message;
      if (failure !== null) throw failure;
      waiting = Promise.withResolvers<Message>();
      return await waiting.promise;
    },
  };
}
