// Questions to the engine process that are answered at once, beside the requests that run.
import type { Socket } from 'node:net';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Tokenizing } from '@berth/shared/request.ts';
import type { EngineDied, Tokenized } from '../engine.ts';
import { send } from './wire.ts';
import type { TokenizedMessage } from './wire.ts';

export interface Asking {
  /** @throws Refusal, or EngineDied */
  ask(task: Tokenizing): Promise<Tokenized>;
  answered(message: TokenizedMessage): void;
  died(why: EngineDied): void;
}

export function asking(pipe: Socket): Asking {
  const open = new Map<number, PromiseWithResolvers<Tokenized>>();
  let ids = 0;
  return {
    async ask(task) {
      const id = (ids += 1);
      const answer = Promise.withResolvers<Tokenized>();
      open.set(id, answer);
      send(pipe, { kind: 'tokenize', id, task });
      return answer.promise.finally(() => open.delete(id));
    },
    answered({ id, result }) {
      if (!('kind' in result)) return open.get(id)?.resolve(result);
      const { outcome, message, param } = result;
      open.get(id)?.reject(new Refusal(outcome, message, param === null ? {} : { param }));
    },
    died: (why) => open.forEach((answer) => answer.reject(why)),
  };
}
