// What the tests of deploy/ read its files with: YAML, and the published schemas.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../e2e/berth.ts';
import { install, loader } from '../tools/install.ts';

const folder = join(root, 'tests/deploy/checkers');

export const installCheckers = (): Promise<void> => install(folder);

/** A package of the install in tests/deploy/checkers. */
export const loadChecker = loader(folder);

/** A file of a package that does not export it. */
export const checkerFile = <T>(path: string): T =>
  JSON.parse(readFileSync(join(folder, 'node_modules', path), 'utf8')) as T;

/** A file of a package that is an ES module and does not export it. */
export async function importChecker<T>(path: string): Promise<T> {
  return (await import(pathToFileURL(join(folder, 'node_modules', path)).href)) as T;
}

export const deployed = (path: string): string => readFileSync(join(root, 'deploy', path), 'utf8');

/** The documents of a YAML file, its merges and anchors resolved. */
export function readYaml<T>(text: string): T[] {
  const { parseAllDocuments } = loadChecker<{ parseAllDocuments: (text: string, options: object) => Doc[] }>('yaml');
  return parseAllDocuments(text, { merge: true }).map((document) => {
    if (document.errors.length > 0) throw new Error(String(document.errors[0]));
    return document.toJS({ maxAliasCount: -1 }) as T;
  });
}

interface Doc {
  errors: Error[];
  toJS(options: object): unknown;
}

export interface Service {
  image: string;
  build?: { context: string; dockerfile: string; target?: string };
  profiles?: string[];
  command?: string[];
  environment?: Record<string, string | number>;
  depends_on?: Record<string, { condition: string }>;
  volumes?: string[];
  networks?: string[];
  network_mode?: string;
  ports?: string[];
  user?: string;
  group_add?: string[];
  read_only?: boolean;
  tmpfs?: string[];
  cap_drop?: string[];
  cap_add?: string[];
  security_opt?: string[];
  restart?: string;
  ulimits?: { nofile: { soft: number } };
  healthcheck?: { test?: string[]; disable?: boolean };
  stop_grace_period?: string;
  stop_signal?: string;
  deploy?: { resources: { reservations: { devices: { device_ids?: string[]; count?: string }[] } } };
}

export interface Compose {
  services: Record<string, Service>;
  networks: Record<string, { internal?: boolean }>;
  volumes: Record<string, object>;
}

/** compose.yaml with its variables replaced as Compose does it: `${NAME:-default}`, an empty one counts as unset. */
export function composeFor(env: Readonly<Record<string, string>>): Compose {
  const text = deployed('compose.yaml').replaceAll(
    /\$\{([A-Z_0-9]+)(?::-([^}]*))?\}/g,
    (_, name: string, fallback = '') => env[name] || fallback,
  );
  const [compose] = readYaml<Compose>(text);
  if (compose === undefined) throw new Error('compose.yaml is empty');
  return compose;
}

/** Those that `docker compose up` starts with these profiles. */
export function started({ services }: Compose, ...profiles: string[]): string[] {
  return Object.keys(services).filter((name) => {
    const own = services[name]?.profiles;
    return own === undefined || own.some((profile) => profiles.includes(profile));
  });
}

/** Lines `NAME=value` of an environment file. */
export function envFile(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^([A-Z_0-9]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
}
