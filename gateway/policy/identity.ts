// Who the proxy in front says the user is: believed from the proxies that the settings name, refused from anybody else.
import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { Refusal } from '@berth/shared/outcome.ts';
import { sendsKey } from '../keys.ts';
import type { Authenticate } from '../keys.ts';
import { allRights } from './key.ts';
import type { Network } from './networks.ts';

/** Names of the headers in which a proxy says who the user is. */
export interface IdentityHeaders {
  user: string;
  /** `null` = all are of one team. */
  team: string | null;
}

const userCharsMax = 256;
const rights = { ...allRights, scopes: ['infer', 'models:read'] as const, priorityMax: 1 as const };

/**
 * 1. Only a trusted proxy may say who somebody is: from anybody else the header is a forgery, and told so.
 * 2. Twice is once too often: the proxy set one, and who set the other?
 * 3. Who sends a key is who the key says; the header then adds nothing.
 */
export function withIdentity(
  next: Authenticate,
  names: IdentityHeaders | null,
  proxies: readonly Network[],
): Authenticate {
  if (names === null) return next;
  return (headers, address, came) => {
    const user = headers[names.user];
    const team = names.team === null ? undefined : headers[names.team];
    if (user === undefined && team === undefined) return next(headers, address, came);
    checkTeller(names, proxies, headers, came?.peer ?? ''); // 1
    for (const name of [names.user, names.team]) {
      if (name !== null && count(name, came?.rawHeaders ?? []) > 1) {
        throw new Refusal('bad_request', `the header ${name} is there twice`); // 2
      }
    }
    if (sendsKey(headers)) return next(headers, address, came); // 3
    if (typeof user !== 'string' || user === '' || user.length > userCharsMax) {
      throw new Refusal('unauthorized', `the proxy names no user in ${names.user}: log in there first`);
    }
    // A digest: names of people go neither to Redis nor to the log.
    const line = hash('sha256', user, 'hex').slice(0, 12);
    return { team: teamOf(team), key: `proxy/${line}`, id: 'proxy', rights, priorityMax: 1 };
  };
}

/** @throws Refusal `forbidden` where somebody else than a trusted proxy says who the user is */
export function checkTeller(
  names: IdentityHeaders | null,
  proxies: readonly Network[],
  headers: IncomingHttpHeaders,
  peer: string,
): void {
  const told = [names?.user, names?.team].some((name) => typeof name === 'string' && headers[name] !== undefined);
  if (!told || proxies.some(({ has }) => has(peer))) return;
  throw new Refusal('forbidden', `the header ${names?.user} is taken from the proxies in TRUSTED_PROXIES only`);
}

/** A team's name is a metric label. */
function teamOf(named: string | string[] | undefined): string {
  if (named === undefined || named === '') return 'default';
  if (typeof named === 'string' && /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/.test(named)) return named;
  throw new Refusal('bad_request', 'the proxy names a team that is none: letters, digits and . _ @ - are allowed');
}

function count(name: string, rawHeaders: readonly string[]): number {
  return rawHeaders.filter((each, at) => at % 2 === 0 && each.toLowerCase() === name).length;
}

/** `x-forwarded-user` or `x-forwarded-user,x-forwarded-team`. @throws Error that says what is allowed */
export function parseIdentity(text: string): IdentityHeaders {
  const [user = '', team = null, ...more] = text.split(',').map((name) => name.trim().toLowerCase());
  const taken = ['authorization', 'x-api-key', 'cookie', 'host', 'x-forwarded-for'];
  const right = (name: string) => /^[a-z0-9-]{1,64}$/.test(name) && !taken.includes(name);
  if (more.length > 0 || !right(user) || (team !== null && !right(team)) || user === team) {
    throw new Error('must be the name of a header for the user, and perhaps after a comma one for the team');
  }
  return { user, team };
}
