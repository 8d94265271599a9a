// Questions to the engine process that are answered once, beside the requests that run.
import { Refusal } from '@berth/shared/outcome.ts';
import type { EngineDied } from '../engine.ts';
import type { RefusedEvent } from './wire.ts';

export interface Asking<Question, Answer extends object> {
  /** @throws Refusal, or EngineDied */
  ask(question: Question): Promise<Answer>;
  answered(message: { id: number; result: Answer | RefusedEvent }): void;
  died(why: EngineDied): void;
}

/** @param put sends a question */
export function asking<Question, Answer extends object>(
  put: (id: number, question: Question) => void,
): Asking<Question, Answer> {
  const open = new Map<number, PromiseWithResolvers<Answer>>();
  let ids = 0;
  return {
    async ask(question) {
      const id = (ids += 1);
      const answer = Promise.withResolvers<Answer>();
      open.set(id, answer);
      put(id, question);
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
