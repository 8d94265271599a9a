// Sessions of browsers: a cookie for an hour, got with an administrator's key, which a page of another site cannot use.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '@berth/shared/clock.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { sendsKey } from '../keys.ts';
import type { Authenticate } from '../keys.ts';
import { isOwnPage } from '../wire.ts';
import type { Caller } from './key.ts';
import type { Registers } from './registers.ts';

/** Whose session it may be: the caller, and a tag that changes with his secret. */
export type Holder = (id: string) => { caller: Caller; tag: string } | null;

export interface Sessions {
  /** @returns the value of `Set-Cookie` */
  open(caller: Caller, secure: boolean): { cookie: string; untilMs: number };
  /** Ends the request's session everywhere. @returns the value of `Set-Cookie` that takes the cookie away */
  close(headers: IncomingHttpHeaders): Promise<string>;
  untilMs(headers: IncomingHttpHeaders): number | null;
  /** The same, and with the cookie of a session. */
  authenticate(next: Authenticate): Authenticate;
}

const name = 'berth_session';
const sessionMs = 3_600_000;
const harmless = new Set(['GET', 'HEAD', 'OPTIONS']);

interface Options {
  /** Signs the cookies; the same at all gateways. */
  secret: string;
  /** Sessions that were left before their time, by all gateways. */
  ended: Registers;
  holder: Holder;
  clock: Clock;
}

/**
 * 1. No session is kept: the cookie says whose it is and until when, signed. It ends with its key, and with the key's
 *    secret.
 * 2. Only what was left before its time is remembered, until its time.
 * 3. A browser sends the cookie by itself, so a write has to come from a page of this very address: `SameSite=Strict`
 *    says the same to browsers, but counts neighbours of one domain as the same site.
 * 4. Who sends a key is who the key says.
 */
export function createSessions({ secret, ended, holder, clock }: Options): Sessions {
  const sign = (text: string, tag: string) =>
    createHmac('sha256', secret).update(`session\0${text}\0${tag}`).digest('base64url');

  function read(headers: IncomingHttpHeaders): { caller: Caller; id: string; untilMs: number } | null {
    const [, who = '', until = '', id = '', proof = ''] =
      /^([0-9a-z]{1,64})\.(\d{13})\.([\w-]{16})\.([\w-]{43})$/.exec(cookieOf(headers)) ?? [];
    if (proof === '') return null;
    const held = holder(who);
    const right = Buffer.from(sign(`${who}.${until}.${id}`, held?.tag ?? ''));
    if (!timingSafeEqual(right, Buffer.from(proof)) || held === null) return null; // 1
    if (Number(until) <= clock.now() || ended.get(id) !== undefined) return null; // 2
    return { caller: held.caller, id, untilMs: Number(until) };
  }

  return {
    open(caller, secure) {
      const held = holder(caller.id);
      if (held === null) throw new Refusal('forbidden', 'a session is for the holder of a key');
      const untilMs = clock.now() + sessionMs;
      const text = `${caller.id}.${untilMs}.${randomBytes(12).toString('base64url')}`;
      const cookie = `${name}=${text}.${sign(text, held.tag)}; ${attributes}; Max-Age=${sessionMs / 1_000}`;
      return { cookie: secure ? `${cookie}; Secure` : cookie, untilMs };
    },
    async close(headers) {
      const session = read(headers);
      if (session) {
        ended.put(session.id, { revision: 1, value: session.untilMs });
        await ended.flush();
      }
      return `${name}=; ${attributes}; Max-Age=0`;
    },
    untilMs: (headers) => read(headers)?.untilMs ?? null,
    authenticate: (next) => (headers, address, came) => {
      const session = sendsKey(headers) || came === undefined ? null : read(headers); // 4
      if (session === null || came === undefined) return next(headers, address, came);
      if (!harmless.has(came.method) && !isOwnPage(headers, came.scheme)) {
        throw new Refusal(
          'forbidden',
          'a session may write from pages of this address only: others need a key, and a proxy with TLS has to send X-Forwarded-Proto',
        ); // 3
      }
      return session.caller;
    },
  };
}

const attributes = 'Path=/; HttpOnly; SameSite=Strict';

/** Empty when there is none, or more than one: of two, somebody else has set one. */
function cookieOf({ cookie = '' }: IncomingHttpHeaders): string {
  const values = cookie.split(';').flatMap((part) => {
    const [key = '', value = ''] = part.trim().split('=', 2);
    return key === name ? [value] : [];
  });
  return values.length === 1 ? (values[0] ?? '') : '';
}

/** The cookies without ours, which is nobody else's business; `undefined` when none is left. */
export function withoutSession(cookie: string | undefined): string | undefined {
  const others = (cookie ?? '').split(';').filter((part) => part.trim() !== '' && !part.trim().startsWith(`${name}=`));
  return others.length === 0 ? undefined : others.join(';').trim();
}

/** @throws Error when it is no time */
export function checkEnded(value: unknown): void {
  if (typeof value !== 'number') throw new Error('it is no time');
}
