// What a REDIS_URL means: one server, the primary that sentinels name, or the node of a cluster that holds the pool.

export interface Address {
  host: string;
  port: number;
}

type Target =
  | { kind: 'one'; url: string }
  | {
      kind: 'sentinel' | 'cluster';
      tls: boolean;
      username: string;
      password: string;
      /** Any of the sentinels or nodes; one that answers is enough. */
      seeds: Address[];
      /** What the sentinels call the primary; of a cluster ''. */
      name: string;
      sentinelPassword: string;
    };

const form =
  'must be a URL like redis://host:port, redis+sentinel://host:port,host:port/name or redis+cluster://host:port,host:port (rediss… for TLS)';

/** The check of the setting. @throws Error whose message says what is allowed */
export function redisUrl(value: string): string {
  targetOf(value);
  return value.replace(/\/+$/, '');
}

/** @throws Error whose message says what is allowed */
export function targetOf(value: string): Target {
  const many = /^(rediss?)\+(sentinel|cluster):\/\/(?:([^@/]*)@)?([^@/?]+)(?:\/([^?]*))?(?:\?(.*))?$/.exec(value);
  if (many === null) {
    const { protocol, host } = URL.canParse(value) ? new URL(value) : { protocol: '', host: '' };
    if (host === '' || !/^rediss?:$/.test(protocol)) throw new Error(form);
    return { kind: 'one', url: value };
  }
  const [, scheme, kind, user = '', hosts = '', name = '', query = ''] = many;
  const cluster = kind === 'cluster';
  if (cluster !== (name === '')) throw new Error(form);
  const [username = '', password = ''] = user.split(/:(.*)/s, 2).map(decodeURIComponent);
  return {
    kind: cluster ? 'cluster' : 'sentinel',
    tls: scheme === 'rediss',
    username,
    password,
    seeds: hosts.split(',').map((host) => addressOf(host, cluster ? 6_379 : 26_379)),
    name: decodeURIComponent(name),
    sentinelPassword: new URLSearchParams(query).get('sentinelPassword') ?? '',
  };
}

function addressOf(text: string, port: number): Address {
  if (!URL.canParse(`redis://${text}`)) throw new Error(form);
  const url = new URL(`redis://${text}`);
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) || port };
}

/** The URL without its password and parameters, for logs and errors. */
export function redactUrl(value: string): string {
  const [, scheme = '', user, hosts = '', path = ''] =
    /^(\w+(?:\+\w+)?:)\/\/(?:([^@/]*)@)?([^@/?#]+)([^?#]*)/.exec(value) ?? [];
  if (hosts === '') return 'an unreadable URL';
  return `${scheme}//${user === undefined ? '' : `${user.split(':', 1)[0]}:***@`}${hosts}${path}`;
}
