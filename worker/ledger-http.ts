// The ledger of a lone gateway, as its workers reach it: signed JSON over HTTP.
import { nobody, signCall } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { isObject } from '@berth/shared/dialects/check.ts';
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import type { BeatReply, Left, Order, WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import { Agent, request } from 'undici';
import { reasonOf } from './reason.ts';

/** A gateway that does not answer in this time is asked again by the next beat. */
const answerMs = 2_000;
const connectMs = 1_000;

export interface HttpLedgerOptions {
  /** Origin of the gateway. */
  url: string;
  secret: string;
  clock: Clock;
}

export function createHttpLedger({ url, secret, clock }: HttpLedgerOptions): WorkerLedger & AsyncDisposable {
  // On this machine there is nobody in between, and a certificate names the machine as others know it.
  const rejectUnauthorized = !/^https:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|$)/.test(url);
  const connect = { timeout: connectMs, rejectUnauthorized };
  const agent = new Agent({ connect, headersTimeout: answerMs, bodyTimeout: answerMs });

  const post = async (path: string, input: unknown): Promise<unknown> => {
    const headers = { ...signCall(secret, 'POST', path, nobody, clock.now()), 'content-type': 'application/json' };
    const body = JSON.stringify(input);
    const reply = await request(`${url}${path}`, { method: 'POST', headers, body, dispatcher: agent }).catch(
      (error: unknown) => {
        throw new LedgerUnavailable(`no answer from the gateway at ${url}: ${reasonOf(error)}`);
      },
    );
    if (reply.statusCode === 200) return reply.body.json();
    await reply.body.dump();
    throw new LedgerUnavailable(`the gateway at ${url} answered ${reply.statusCode}${hint(reply.statusCode)}`);
  };

  return {
    beat: async (input) => beatReply(await post('/internal/beat', input)),
    leave: async (input) => left(await post('/internal/leave', input)),
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

/** The replies of the gateway's ledger. @throws LedgerUnavailable for anything else: that is no gateway of ours */
function beatReply(value: unknown): BeatReply {
  const { kind, added, dropped, order, epoch } = isObject(value) ? value : {};
  if (kind === 'ok' && typeof added === 'number' && typeof dropped === 'number')
    return { kind, added, dropped, order: orderOf(order) };
  if (kind === 'stale' && typeof epoch === 'string') return { kind, epoch };
  throw new LedgerUnavailable('the gateway answered a beat with something else: are both of one version?');
}

function orderOf(value: unknown): Order | null {
  const { model, victim } = isObject(value) ? value : {};
  return typeof model === 'string' && typeof victim === 'string' ? { model, victim } : null;
}

function left(value: unknown): Left {
  if (value === 'gone' || value === 'waited' || value === 'held') return value;
  throw new LedgerUnavailable('the gateway answered with something else: are both of one version?');
}

function hint(status: number): string {
  if (status === 401) return ': CLUSTER_SECRET must be the same for gateway and worker, and their clocks alike';
  if (status === 404) return ': it uses Redis, or is no gateway; give the worker the same REDIS_URL';
  return '';
}
