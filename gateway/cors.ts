// Which web pages may call: nothing is told to browsers unless the operator has named the pages' origins.
import type { IncomingHttpHeaders } from 'node:http';
import { clientHeaders } from '@berth/shared/headers.ts';

export interface Cors {
  /** Headers for every reply to this request; none for an origin that was not named. */
  headers(request: IncomingHttpHeaders): Record<string, string>;
  /** Headers of the answer to a browser's question before a request; `null` = it is none, or not of a named origin. */
  preflight(request: IncomingHttpHeaders): Record<string, string> | null;
}

/** What browsers let a page read of a reply. */
const own = Object.values(clientHeaders).join(', ');
const exposed = `x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, ${own}`;
const methods = 'GET, HEAD, POST, DELETE';
/** Headers that the families' clients send from a browser: `x-stainless-*` are the SDKs' own. */
const allowed =
  /^(authorization|content-type|accept|x-api-key|x-request-id|idempotency-key|berth-max-wait|user-agent|(x-stainless|anthropic|openai)-[a-z0-9-]+)$/;
/** Browsers cap it at two hours. */
const maxAgeS = 7_200;

/** Whether an origin is among those named; the two kinds that may end in `*` are those of `parseOrigins`. */
export function originsNamed(origins: readonly string[]): (origin: string) => boolean {
  const exact = new Set(origins.map((origin) => origin.toLowerCase()));
  const open = [...exact].filter((origin) => origin.length > 1 && origin.endsWith('*')).map((all) => all.slice(0, -1));
  const every = exact.has('*');
  return (origin) => {
    const asked = origin.toLowerCase();
    return every || exact.has(asked) || open.some((beginning) => asked.startsWith(beginning));
  };
}

/** @param origins as `parseOrigins` gives them; `*` alone = every page */
export function createCors(origins: readonly string[]): Cors {
  const every = origins.includes('*');
  const isNamed = originsNamed(origins);
  const headers = ({ origin }: IncomingHttpHeaders): Record<string, string> => {
    if (origins.length === 0) return {};
    // Also on replies to others: a cache must not give one page's answer to another.
    const vary = every ? {} : { vary: 'origin' };
    if (origin === undefined || !isNamed(origin)) return vary;
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

/**
 * 1. Pages of the web by their whole origin, those of the reader's own machine with any port too.
 * 2. Windows of desktop programs, whose schemes are their own, and whose names some draw anew at each start.
 */
const beginnings = [
  /^http:\/\/(localhost|127\.0\.0\.1|\[::1\]):\*$/i, // 1
  /^(?!https?:)[a-z][a-z0-9+.-]*:\/\/(\*|[\w.-]+)$/i, // 2
];

/**
 * `https://chat.example.org, http://localhost:*, app://obsidian.md, vscode-webview://*`, or `*`.
 * @throws Error naming what is no origin
 */
export function parseOrigins(value: string): string[] {
  const origins = value
    .split(',')
    .map((origin) => origin.trim())
    .filter((origin) => origin !== '');
  for (const origin of origins) {
    if (origin === '*' || beginnings.some((beginning) => beginning.test(origin))) continue;
    if (origin.includes('*') || !URL.canParse(origin) || new URL(origin).origin !== origin.toLowerCase()) {
      throw new Error(
        'each must be an origin such as https://chat.example.org, http://localhost:* or app://*, without a path; or * for every page',
      );
    }
  }
  return origins;
}
