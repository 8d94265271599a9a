// The gateway's settings.
import { bytes, choice, duration, integer, optional, poolSettings, setting, text } from '@berth/shared/config.ts';
import type { Settings } from '@berth/shared/config.ts';
import { parseOrigins } from './cors.ts';
import { isKey } from './keys.ts';
import { parseMounts } from './passthrough/mounts.ts';
import { parseIdentity } from './policy/identity.ts';
import { parseNetworks } from './policy/networks.ts';
import { parseHosts } from './wire.ts';

/** Options of Node, however it is started. A small young generation: less memory for each open stream (DECISIONS.md). */
export const nodeOptions = ['--max-semi-space-size=8'];

const dayMs = 24 * 3_600_000;

export const gatewaySettings = {
  host: setting({
    name: 'GATEWAY_HOST',
    about: 'Address that the gateway listens on. Beyond loopback a key is needed.',
    fallback: '127.0.0.1',
    parse: text,
  }),
  port: setting({
    name: 'GATEWAY_PORT',
    about: 'Port that the gateway listens on; 0 takes any free one and prints it.',
    fallback: '8080',
    parse: integer(0, 65_535),
  }),
  auth: setting({
    name: 'AUTH',
    about:
      '`on` wants a key on every request, `off` on none, `auto` on all but loopback listeners; once there are keys, there too.',
    fallback: 'auto',
    parse: choice('auto', 'on', 'off'),
  }),
  apiKeys: optional({
    name: 'API_KEY',
    about: 'Keys that may do everything, separated by commas, each of at least 16 characters.',
    fallbackAbout: 'one is made and kept in `STATE_DIR`',
    secret: true,
    parse: (value) => {
      const keys = value.split(',').map((key) => key.trim());
      if (!keys.every(isKey)) {
        throw new Error('each key must have 16 to 256 letters, digits, dots, dashes or underscores');
      }
      return keys;
    },
  }),
  corsOrigins: optional({
    name: 'CORS_ORIGINS',
    about:
      'Origins of the web pages that may call from a browser, separated by commas: `https://chat.example.org`, `http://localhost:*`, of desktop programs `app://obsidian.md` or `vscode-webview://*`; `*` is every page.',
    fallbackAbout: 'none may',
    parse: parseOrigins,
  }),
  stateDir: setting({
    name: 'STATE_DIR',
    about: 'Folder for what must outlive a restart: the key that was made, the keys of teams, and usage.',
    fallback: '.berth',
    parse: text,
  }),
  tlsCert: optional({
    name: 'TLS_CERT',
    about:
      'PEM file with the certificate and those above it: the gateway then speaks HTTPS. A renewed one is taken within 10 s.',
    fallbackAbout: 'plain HTTP',
    parse: text,
  }),
  tlsKey: optional({
    name: 'TLS_KEY',
    about: 'PEM file with the private key of `TLS_CERT`.',
    fallbackAbout: 'plain HTTP',
    parse: text,
  }),
  allowedHosts: optional({
    name: 'ALLOWED_HOSTS',
    about:
      'Names under which the gateway is reached, separated by commas; addresses, names without a dot, `.local` and `.internal` always are.',
    fallbackAbout: 'any name where every request needs a key',
    parse: parseHosts,
  }),
  trustedProxies: optional({
    name: 'TRUSTED_PROXIES',
    about: 'Networks of the proxies in front whose `X-Forwarded-For` is believed, such as `10.0.0.0/24`.',
    fallbackAbout: 'none',
    parse: parseNetworks,
  }),
  identityHeaders: optional({
    name: 'TRUSTED_IDENTITY_HEADER',
    about:
      'Header in which a proxy of `TRUSTED_PROXIES` names the user who has logged in there, and after a comma perhaps one for the team: `x-forwarded-user,x-forwarded-team`.',
    fallbackAbout: 'none',
    parse: parseIdentity,
  }),
  connectionsMax: setting({
    name: 'MAX_CONNECTIONS',
    about: 'Most connections at a time; one more is closed at once.',
    fallback: '8192',
    parse: integer(1, 1_000_000),
  }),
  connectionsPerAddressMax: setting({
    name: 'MAX_CONNECTIONS_PER_ADDRESS',
    about: 'Most connections of one address; this machine and `TRUSTED_PROXIES` may have more.',
    fallback: '1024',
    parse: integer(1, 1_000_000),
  }),
  allowNetworks: optional({
    name: 'ALLOW_NETWORKS',
    about:
      'Networks whose clients need no key to infer and list models, such as `10.1.0.0/16=research,192.168.7.4`; the word is their team.',
    fallbackAbout: 'none',
    parse: parseNetworks,
  }),
  mounts: optional({
    name: 'MOUNTS',
    about:
      'Other servers behind this address, separated by commas: `/grafana=http://grafana:3000`, then `;read` for GET only, `;login` when it has accounts of its own, `;inference=WORKER` when it computes, or the scope that a key needs (`;admin` unless told): see docs/pages.md.',
    fallbackAbout: 'none',
    parse: parseMounts,
  }),
  drainNoticeMs: setting({
    name: 'DRAIN_NOTICE',
    about:
      'How long a gateway that was told to leave still takes requests while `/readyz` says that it goes, for load balancers in front.',
    fallback: '0s',
    parse: duration(0, 600_000),
  }),
  waitingMax: setting({
    name: 'MAX_QUEUE',
    aliases: ['OLLAMA_MAX_QUEUE'],
    about: 'Most requests that may wait for a slot, over all gateways; one more is refused at once.',
    fallback: '512',
    parse: integer(0, 4_096),
  }),
  waitingPerKeyMax: setting({
    name: 'MAX_QUEUE_PER_KEY',
    about: 'Most requests of one key that may wait for a slot, over all models and gateways.',
    fallback: '256',
    parse: integer(0, 4_096),
  }),
  waitingBytesMax: setting({
    name: 'MAX_QUEUE_BYTES',
    about: 'Most bytes of request bodies that one gateway holds at a time.',
    fallback: '256MiB',
    parse: bytes(1_024, 2 ** 40),
  }),
  queueTimeoutMs: setting({
    name: 'QUEUE_TIMEOUT',
    about: 'Longest wait for a slot. Many clients give up after 300 s without headers.',
    fallback: '280s',
    parse: duration(1_000, dayMs),
  }),
  bodyBytesMax: setting({
    name: 'MAX_BODY',
    about: 'Largest request body.',
    fallback: '4MiB',
    parse: bytes(1_024, 2 ** 30),
  }),
  ...poolSettings,
};

export type GatewaySettings = Settings<typeof gatewaySettings>;

/** Those that the gateway itself works with; the others make what it is given. */
export type ServingSettings = Pick<
  GatewaySettings,
  | 'host'
  | 'port'
  | 'corsOrigins'
  | 'allowedHosts'
  | 'trustedProxies'
  | 'identityHeaders'
  | 'connectionsMax'
  | 'connectionsPerAddressMax'
  | 'mounts'
  | 'modelsFile'
  | 'waitingMax'
  | 'waitingPerKeyMax'
  | 'waitingBytesMax'
  | 'queueTimeoutMs'
  | 'bodyBytesMax'
>;
