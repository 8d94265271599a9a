// From where models may be pulled: hosts that are named, and on redirects any public address, never a private one.
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { Refusal } from '@berth/shared/outcome.ts';

export interface PullHost {
  /** `registry.ollama.ai`, `10.0.0.7:5000`. */
  host: string;
  /** Spoken to without TLS. */
  plain: boolean;
}

/** The setting PULL_HOSTS. @throws Error whose message says what is allowed */
export function parsePullHosts(value: string): PullHost[] {
  const entries = value === 'none' ? [] : value.split(',').map((entry) => entry.trim());
  return entries.map((entry) => {
    const [, scheme = 'https', host = ''] = /^(?:(https?):\/\/)?([A-Za-z0-9.-]+(?::\d{1,5})?)$/.exec(entry) ?? [];
    if (host === '') throw new Error('must be host names separated by commas, http:// before one without TLS, or none');
    return { host: host.toLowerCase(), plain: scheme === 'http' };
  });
}

/** The origin at which a host is asked. @throws Refusal `forbidden` for one that is not named */
export function originOf(host: string, allowed: readonly PullHost[]): string {
  const found = allowed.find((each) => each.host === host.toLowerCase());
  if (found !== undefined) return `${found.plain ? 'http' : 'https'}://${found.host}`;
  throw new Refusal(
    'forbidden',
    `models are not pulled from ${host} here: an operator may add it to PULL_HOSTS of the workers`,
  );
}

/** IANA's special-purpose registries: what is not the public internet. */
const special = new BlockList();
const subnets =
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3 ::/127 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001:db8::/32 2002::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8';
for (const subnet of subnets.split(' ')) {
  const [network = '', bits = ''] = subnet.split('/');
  special.addSubnet(network, Number(bits), network.includes(':') ? 'ipv6' : 'ipv4');
}

/** An IPv4 address in IPv6 clothes is judged as what it is. */
export function isPublic(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && !special.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

/** Where a host is to be connected: the very addresses that were judged, so that a second look-up changes nothing. */
export interface Target {
  url: URL;
  addresses: { address: string; family: number }[];
}

/**
 * 1. A host that is named may be anywhere: the operator said so.
 * 2. Any other one comes from a redirect: it must be public, and reached by TLS. What it sends is held to the digest.
 * @param from where the redirect came from; `null` = it is the first
 * @throws Refusal `forbidden`, or the system's error when the name cannot be looked up
 */
export async function targetOf(url: URL, from: URL | null, allowed: readonly PullHost[]): Promise<Target> {
  const { protocol, host, hostname } = url;
  const bare = hostname.replace(/^\[|\]$/g, '');
  const isNamed = allowed.some((each) => each.host === host && `http${each.plain ? '' : 's'}:` === protocol);
  if (!isNamed && (from === null || protocol !== 'https:')) {
    const who = from?.host ?? 'the registry';
    throw new Refusal('forbidden', `${who} leads to ${protocol}//${host}, which is not followed`); // 2
  }
  const addresses = isIP(bare) === 0 ? await lookup(bare, { all: true }) : [{ address: bare, family: isIP(bare) }];
  const hidden = isNamed ? undefined : addresses.find(({ address }) => !isPublic(address)); // 1, 2
  if (hidden === undefined) return { url, addresses };
  throw new Refusal(
    'forbidden',
    `${from?.host ?? host} leads to ${host} (${hidden.address}), a private address: it is followed only when PULL_HOSTS names it`,
  );
}
