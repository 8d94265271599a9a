// A ledger that tells how long each of its answers took.
import type { Clock } from '@berth/shared/clock.ts';
import type { Ledger } from '@berth/shared/ledger/ledger.ts';
import { timing } from '@berth/shared/ledger/timed.ts';
import type { HearCall } from '@berth/shared/ledger/timed.ts';
import type { LedgerOperation } from '../metric-families.ts';

export function timed(ledger: Ledger, clock: Clock, hear: HearCall<LedgerOperation>): Ledger {
  const measure = timing(clock, hear);
  return {
    take: (input) => measure('take', ledger.take(input)),
    leave: (input) => measure('leave', ledger.leave(input)),
    session: (input) => measure('session', ledger.session(input)),
    survey: () => measure('survey', ledger.survey()),
    claim: (input) => measure('claim', ledger.claim(input)),
    beat: (input) => measure('beat', ledger.beat(input)),
    ...(ledger.entrust && { entrust: (id: string) => ledger.entrust?.(id) }),
    listen: (gateway, onGrant) => ledger.listen(gateway, onGrant),
    [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
  };
}
