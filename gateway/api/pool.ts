// A lone gateway's ledger for its workers: what they would say to Redis, they say here, signed.
import { checkCall } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Beat, Leave, WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { readBody } from '../http.ts';
import type { Exchange, Route } from '../http.ts';

/** An announcement of many models is the largest of these. */
const bodyBytesMax = 2 * 1_024 ** 2;

export function poolRoutes({ ledger, secret, clock }: { ledger: WorkerLedger; secret: string; clock: Clock }): Route[] {
  const receive = <T>(path: string, act: (input: T) => Promise<unknown>): Route => ({
    method: 'POST',
    path,
    scope: 'pool',
    dialect: openai,
    async handle(exchange: Exchange) {
      const checked = checkCall(secret, 'POST', path, exchange.request.headers, clock.now());
      if (checked.kind === 'refused') throw new Refusal('unauthorized', `this call is ${checked.why}`);
      // The signature says that it is a worker of this pool: its word is taken as it is.
      const input = parseJson(await readBody(exchange, bodyBytesMax)) as T;
      exchange.reply.json(200, JSON.stringify(await act(input)));
    },
  });
  return [
    receive<Beat>('/internal/beat', (beat) => ledger.beat(beat)),
    receive<Leave>('/internal/leave', (leave) => ledger.leave(leave)),
  ];
}
