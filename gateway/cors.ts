// Which web pages may call: nothing is told to browsers unless the operator has named the pages' origins.
import type { IncomingHttpHeaders } from 'node:http';

export interface Cors {
  /** Headers for every reply to this request; none for an origin that was not named. */
  headers(request: IncomingHttpHeaders): Record<string, string>;
  /** Headers of the answer to a browser's question before a request; `null` = it is none, or not of a named origin. */
  preflight(request: IncomingHttpHeaders): Record<string, string> | null;
}

/** What browsers let a page read of a reply. */
const exposed = 'x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, berth-worker';
const methods = 'GET, HEAD, POST, DELETE';
/** Headers that the families' clients send from a browser: `x-stainless-*` are the SDKs' own. */
const allowed =
  /^(authorization|content-type|accept|x-api-key|x-request-id|idempotency-key|berth-max-wait|user-agent|(x-stainless|anthropic|openai)-[a-z0-9-]+)$/;
/** Browsers cap it at two hours. */
const maxAgeS = 7_200;

/** @param origins such as `https://chat.example.org`; `*` alone = every page */
export function createCors(origins: readonly string[]): Cors {
  const every = origins.includes('*');
  const named = new Set(origins.map((origin) => origin.toLowerCase()));
  const headers = ({ origin }: IncomingHttpHeaders): Record<string, string> => {
    if (named.size === 0) return {};
    // Also on replies to others: a cache must not give one page's answer to another.
    const vary = every ? {} : { vary: 'origin' };
    if (origin === undefined || !(every || named.has(origin.toLowerCase()))) return vary;
    return { ...vary, 'access-control-allow-origin': every ? '*' : origin, 'access-control-expose-headers': exposed };
  };
  return {
    headers,
    preflight(request) {
      const granted = headers(request);
      if (request['access-control-request-method'] === undefined) return null;
      if (granted['access-control-allow-origin'] === undefined) return null;
      const asked = (request['access-control-request-headers'] ?? '').toLowerCase().split(',');
      const names = asked.map((name) => name.trim()).filter((name) => allowed.test(name));
      return {
        'access-control-allow-methods': methods,
        ...(names.length > 0 && { 'access-control-allow-headers': names.join(', ') }),
        'access-control-max-age': String(maxAgeS),
      };
    },
  };
}

/** `https://chat.example.org, http://localhost:3000`, or `*`. @throws Error naming what is no origin */
export function parseOrigins(value: string): string[] {
  const origins = value
    .split(',')
    .map((origin) => origin.trim())
    .filter((origin) => origin !== '');
  for (const origin of origins) {
    if (origin === '*') continue;
    if (origin.includes('*') || !URL.canParse(origin) || new URL(origin).origin !== origin.toLowerCase()) {
      throw new Error('each must be an origin such as https://chat.example.org, without a path; or * for every page');
    }
  }
  return origins;
}
