// What else lives behind the gateway's address: pages of other servers, each below a path of its own.
import { scopes } from '../policy/key.ts';
import type { Scope } from '../policy/key.ts';

export interface Mount {
  /** Without a slash at its end; empty = everything that has no route. */
  path: string;
  /** Takes the place of the mount's path, so it has one of its own when the server wants to see that. */
  target: URL;
  /** What a key needs; `null` = the server has accounts of its own, and gets credentials and cookies for them. */
  scope: Scope | null;
  /** Only GET and HEAD, and no WebSocket. */
  readOnly: boolean;
  /** The worker or model of which each request takes a slot; `null` = nothing is computed for them. */
  inference: string | null;
}

const mountsMax = 32;
const form = 'must be mounts such as /grafana=http://grafana:3000;read, separated by commas';

/** @throws Error whose message says what is allowed */
export function parseMounts(text: string): Mount[] {
  const mounts = text.split(',').map((part) => parseMount(part.trim()));
  const paths = new Set(mounts.map(({ path }) => path));
  if (paths.size < mounts.length) throw new Error('must name each path once');
  if (mounts.length > mountsMax) throw new Error(`must be at most ${mountsMax} mounts`);
  return mounts;
}

function parseMount(text: string): Mount {
  const [, path = '', url = '', words = ''] = /^(\/[^=;]*)=([^;]+)((?:;[^;]*)*)$/.exec(text) ?? [];
  if (!/^(\/|(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+)$/.test(path)) throw new Error(form);
  const asked: Partial<Mount> = {};
  for (const word of words.split(';').slice(1)) change(asked, word.trim());
  const { inference = null, readOnly = false, scope = inference === null ? 'admin' : 'infer' } = asked;
  const mount = { path: path === '/' ? '' : path, target: targetOf(url), scope, readOnly, inference };
  if (mount.inference !== null && mount.scope === null) {
    throw new Error('must not have inference and login together: a slot is for the holder of a key');
  }
  return mount;
}

function targetOf(url: string): URL {
  const target = URL.canParse(url) ? new URL(url) : null;
  if (!target || !/^https?:$/.test(target.protocol)) throw new Error(form);
  if (target.username !== '' || target.search !== '' || target.hash !== '') {
    throw new Error('must have targets without user, query or fragment');
  }
  return target;
}

function change(mount: Partial<Mount>, word: string): void {
  const scope = scopes.find((known) => known === word);
  const [, name] = /^inference=([^\s=@]+)$/.exec(word) ?? [];
  if (scope) mount.scope = scope;
  else if (word === 'login') mount.scope = null;
  else if (word === 'read') mount.readOnly = true;
  else if (name !== undefined) mount.inference = name;
  else {
    const all = ['read', 'login', 'inference=WORKER', 'inference=MODEL', ...scopes];
    throw new Error(`must have nothing but ${all.join(', ')} behind a semicolon`);
  }
}
