// What the gateway takes for a request at all: its framing, the name it was sent to, and the page it comes from.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { TLSSocket } from 'node:tls';
import { Refusal } from '@berth/shared/outcome.ts';
import { originsNamed } from './cors.ts';
import { isLoopback } from './keys.ts';
import type { Came } from './keys.ts';
import type { Network } from './policy/networks.ts';

export interface Wire {
  /** @throws Refusal `misdirected`, `forbidden` */
  checkOrigin(request: IncomingMessage, method: string): void;
  /** The client's address; `null` when a proxy that nobody vouched for stands in between. */
  address(request: IncomingMessage): string | null;
}

export interface WireOptions {
  /** Names, beside addresses and names of this machine, under which the gateway is reached; `null` = not told. */
  hosts: readonly string[] | null;
  /** Whether anybody may come in without a key. */
  keyless: boolean;
  /** Origins of pages that may call, as for CORS. */
  origins: readonly string[];
  /** Proxies whose `X-Forwarded-For` is believed. */
  proxies: readonly Network[];
}

/** Two of these are read differently by different programs on the way. */
const once = new Set(['host', 'content-length', 'transfer-encoding', 'authorization', 'x-api-key', 'content-type']);
/** Methods by which a page can change nothing. */
const harmless = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * 1. Framing that two programs could read differently is refused; Node refuses the rest of it already.
 * 2. A name that is not ours is a page that was led here by its own DNS. With a key in every request it could do
 *    nothing, so that names need only be told where somebody may come in without one.
 * 3. A page of another site may not write. A browser sends `Authorization` of a script's making only after it has
 *    asked (CORS), so that whoever sends one is not tricked into it. The content type is no proof: `curl -d` sends a
 *    form's.
 */
export function createWire({ hosts, keyless, origins, proxies }: WireOptions): Wire {
  const named = new Set(hosts?.map((host) => host.toLowerCase()));
  const isNamed = originsNamed(origins);

  function isOurs(host: string): boolean {
    const name = nameOf(host);
    if (named.has(name)) return true;
    // A name without a dot, or of a private ending, is in nobody's public DNS.
    return isIP(name) !== 0 || !name.includes('.') || /\.(localhost|local|internal)$/.test(name);
  }

  function mayWrite({ headers, socket }: IncomingMessage): boolean {
    const { origin, host = '', authorization, 'x-api-key': apiKey } = headers;
    if (origin === undefined || authorization !== undefined || apiKey !== undefined) return true;
    const page = origin.toLowerCase();
    if (isNamed(page)) return true;
    // Windows of desktop programs (`app://`, `vscode-webview://`) are no pages of the web.
    if (!/^(https?:|null$)/.test(page)) return true;
    if (isOwnPage(headers, schemeOf({ headers, socket }))) return true;
    return URL.canParse(page) && isLocal(new URL(page).hostname) && isLocal(nameOf(host));
  }

  return {
    checkOrigin(request, method) {
      const host = request.headers.host ?? '';
      if ((keyless || hosts !== null) && !isOurs(host)) {
        throw new Refusal('misdirected', 'this name is not known here: use the address, or add it to ALLOWED_HOSTS'); // 2
      }
      if (!harmless.has(method) && !mayWrite(request)) {
        throw new Refusal('forbidden', 'pages of this origin may not call: add it to CORS_ORIGINS'); // 3
      }
    },
    address({ headers, socket }) {
      const peer = socket.remoteAddress ?? '';
      const told = String(headers['x-forwarded-for'] ?? '');
      const isProxy = (address: string) => proxies.some(({ has }) => has(address));
      if (!isProxy(peer)) return told === '' && headers.forwarded === undefined ? peer : null;
      // From the right: what stands left of the first stranger is the stranger's own word.
      const hops = told
        .split(',')
        .map((hop) => hop.trim())
        .filter((hop) => hop !== '');
      return hops.toReversed().find((hop) => !isProxy(hop)) ?? peer;
    },
  };
}

type Scheme = 'http:' | 'https:' | null;

/** What `authenticate` wants to know of how a request came. */
export function cameBy(request: IncomingMessage, method: string): Came {
  const { socket, rawHeaders } = request;
  return { method, peer: socket.remoteAddress ?? '', scheme: schemeOf(request), rawHeaders };
}

/**
 * How the client came here; `null` = a proxy in between does not say. Whoever lies about it is no browser that was
 * tricked: a page cannot set these headers without being asked first (CORS).
 */
export function schemeOf({ headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>): Scheme {
  const told = /^(https?)\b/.exec(String(headers['x-forwarded-proto'] ?? ''))?.[1];
  if (socket instanceof TLSSocket || told === 'https') return 'https:';
  const proxied = ['x-forwarded-for', 'forwarded', 'via'].some((name) => headers[name] !== undefined);
  return told === undefined && proxied ? null : 'http:';
}

/** Whether the page that sends this is one of this very address: a page of plain HTTP anybody on the way can write. */
export function isOwnPage({ origin = '', host = '' }: IncomingHttpHeaders, scheme: Scheme): boolean {
  if (!URL.canParse(origin)) return false;
  const page = new URL(origin);
  const right = scheme === null ? /^https?:$/.test(page.protocol) : page.protocol === scheme;
  return right && page.host === host.toLowerCase();
}

/** Rule 1. @throws Refusal `bad_request`; the connection must be closed then */
export function checkFraming({ rawHeaders, headers, httpVersion }: IncomingMessage): void {
  const seen = new Set<string>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]?.toLowerCase() ?? '';
    if (!once.has(name)) continue;
    if (seen.has(name)) throw new Refusal('bad_request', `the header ${name} is there twice`);
    seen.add(name);
  }
  const encoding = headers['transfer-encoding'];
  if (encoding === undefined) return;
  if (encoding.toLowerCase() !== 'chunked') {
    throw new Refusal('bad_request', 'the only transfer encoding that is taken is chunked');
  }
  if (httpVersion === '1.0') throw new Refusal('bad_request', 'HTTP/1.0 has no transfer encoding');
}

/** The host without its port, and an IPv6 address without its brackets. */
function nameOf(host: string): string {
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([^:@/]*))(?::\d+)?$/.exec(host.toLowerCase()) ?? [];
  // What is no host is nobody's name, and must not look like one without a dot.
  return (bracketed ?? plain ?? 'no.host').replace(/\.$/, '');
}

function isLocal(name: string): boolean {
  return name.endsWith('.localhost') || isLoopback(name.replace(/^\[(.*)\]$/, '$1'));
}

/** `berth.example.org, llm.example.org`. @throws Error naming what is no host */
export function parseHosts(text: string): string[] {
  const hosts = text.split(',').map((host) => host.trim().toLowerCase());
  if (!hosts.every((host) => /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(host))) {
    throw new Error('must be names such as berth.example.org, without a port, separated by commas');
  }
  return hosts;
}
