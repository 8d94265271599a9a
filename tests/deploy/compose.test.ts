// The team's compose.yaml, as far as it can be looked at without a container engine: the published schema, and what must hold.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { readSettings } from '@berth/shared/config.ts';
import { gatewaySettings } from '../../gateway/settings.ts';
import { workerSettings } from '../../worker/settings.ts';
import { root } from '../e2e/berth.ts';
import { promtool } from '../tools/prometheus.ts';
import {
  checkerFile,
  composeFor,
  deployed,
  envFile,
  installCheckers,
  loadChecker,
  readYaml,
  started,
} from './checkers.ts';
import type { Compose, Service } from './checkers.ts';

let compose: Compose;
let services: [string, Service][];
const example = envFile(deployed('.env.example'));

beforeAll(() => installCheckers(), 300_000);
beforeAll(() => {
  compose = composeFor(example);
  services = Object.entries(compose.services);
});

const seconds = (text: string) => Number(/^(\d+)s$/.exec(text)?.[1]);
const ours = (service: Service) => service.image.startsWith('berth-');

describe('compose.yaml', () => {
  it('follows the published schema, with the example of .env as with nothing set', () => {
    const { default: Ajv } = loadChecker<{ default: new (options: object) => Ajv }>('ajv');
    const schema = checkerFile<{ $schema?: string }>('dclint/schemas/compose.schema.json');
    const { $schema: _, ...rest } = schema;
    const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
    const validate = ajv.compile(rest);
    for (const env of [example, {}]) {
      validate(composeFor(env));
      expect(validate.errors).toBeNull();
    }
    expect(validate({ services: { redis: { image: 'redis', restarts: 'always' } } })).toBe(false);
  });

  it('asks for nothing that .env.example does not tell of, which tells of nothing else', () => {
    const asked = new Set([...deployed('compose.yaml').matchAll(/\$\{([A-Z_0-9]+)/g)].map(([, name]) => name));
    expect(new Set([...asked, 'COMPOSE_PROFILES'])).toEqual(new Set(Object.keys(example)));
  });

  it('names only services, volumes, networks and files that there are', () => {
    for (const [name, { depends_on = {}, volumes = [], networks = [], build }] of services) {
      const unknown = [
        ...Object.keys(depends_on).filter((it) => !(it in compose.services)),
        ...networks.filter((it) => !(it in compose.networks)),
        ...volumes
          .map((it) => it.split(':')[0] ?? '')
          // What another machine brings is not in the repository.
          .filter(
            (it) =>
              it !== './join' && (/^[./]/.test(it) ? !existsSync(join(root, 'deploy', it)) : !(it in compose.volumes)),
          ),
        ...(build ? [build.dockerfile].filter((it) => !existsSync(join(root, it))) : []),
      ];
      expect({ name, unknown }).toEqual({ name, unknown: [] });
    }
  });

  it('starts everything with one worker on the processor, or with as many as there are GPUs', () => {
    const base = ['setup', 'redis', 'gateway-1', 'gateway-2', 'haproxy', 'prometheus', 'grafana'];
    expect(started(compose, 'cpu')).toEqual([...base, 'worker-cpu']);
    for (let count = 1; count <= 8; count++) {
      const workers = Array.from({ length: count }, (_, at) => `worker-${at}`);
      expect(started(compose, `gpus-${count}`)).toEqual([...base, ...workers]);
      expect(started(compose, `workers-${count}`)).toEqual(workers.map((it) => it.replace('worker', 'joined')));
    }
    expect(started(compose, 'cpu', 'dcgm', 'door')).toEqual(expect.arrayContaining(['dcgm', 'redis-door']));
  });

  it('starts with each service what it depends on', () => {
    for (const profile of ['cpu', 'gpus-3', 'workers-2']) {
      const there = started(compose, profile);
      const missing = there.flatMap((name) => Object.keys(compose.services[name]?.depends_on ?? {}));
      expect(missing.filter((name) => !there.includes(name))).toEqual([]);
    }
  });

  it('gives each worker a name and a GPU of its own, by number or by UUID', () => {
    const uuid = 'GPU-6b1c0d2e-aaaa-bbbb-cccc-0123456789ab';
    const { services: chosen } = composeFor({ ...example, GPU_1: uuid, BOX: 'attic' });
    const gpus = Object.entries(chosen).filter(([name]) => /^(worker|joined)-\d/.test(name));
    const ids = gpus.map(([, it]) => it.deploy?.resources.reservations.devices.map(({ device_ids }) => device_ids));
    const expected = ['0', uuid, '2', '3', '4', '5', '6', '7'].map((id) => [[id]]);
    expect(ids).toEqual([...expected, ...expected]);
    for (const kind of ['worker', 'joined']) {
      const names = gpus.filter(([name]) => name.startsWith(kind)).map(([, it]) => it.environment?.['WORKER_ID']);
      expect(names).toEqual(Array.from({ length: 8 }, (_, at) => `attic-gpu-${at}`));
    }
  });

  it('sets nothing that gateway and worker do not know, and nothing that they refuse', () => {
    const declared = { gateway: gatewaySettings, worker: workerSettings };
    const others = ['NODE_EXTRA_CA_CERTS', 'BERTH_URL'];
    for (const [name, service] of services.filter(([, it]) => ours(it))) {
      const side = /gateway/.test(name) || name === 'setup' ? declared.gateway : declared.worker;
      const known = Object.values(side).flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name]));
      const unknown = Object.keys(service.environment ?? {}).filter(
        (it) => !known.includes(it) && !others.includes(it),
      );
      expect({ name, unknown }).toEqual({ name, unknown: [] });
      const { environment = {} } = service;
      const given = Object.entries(environment).filter(([it]) => !it.endsWith('_FILE'));
      const plain = Object.fromEntries(given.map(([it, value]) => [it, String(value)]));
      expect(() => readSettings<typeof side>(side, plain), name).not.toThrow();
    }
  });

  it('runs everything without root, without capabilities, on a file system that cannot be written', () => {
    for (const [name, it] of services) {
      const { read_only, cap_drop, security_opt, ulimits, tmpfs, cap_add } = it;
      expect({ name, read_only, cap_drop, security_opt, nofile: ulimits?.nofile.soft, tmpfs }).toEqual({
        name,
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
        nofile: 65_536,
        tmpfs: ['/tmp:mode=1777,size=64m'],
      });
      // NVIDIA's exporter reads counters that only this capability opens.
      expect(cap_add, name).toEqual(name === 'dcgm' ? ['SYS_ADMIN'] : undefined);
      // Our own images bring their user.
      if (!ours(it) && name !== 'dcgm') expect(it.user, name).toMatch(/^[1-9]\d*:\d+$/);
    }
  });

  it('lets HAProxy have as many connections as its file descriptors are good for', () => {
    const most = Number(/^ +maxconn (\d+)$/m.exec(deployed('haproxy/haproxy.cfg'))?.[1]);
    expect(compose.services['haproxy']?.ulimits?.nofile.soft).toBeGreaterThan(2 * most + 100);
  });

  it('starts again what ends, and knows of each whether it is well', () => {
    for (const [name, { restart, healthcheck, image }] of services) {
      expect(restart, name).toBe(name === 'setup' ? 'no' : 'unless-stopped');
      const checked = healthcheck?.test !== undefined || image.startsWith('berth-') || name === 'dcgm';
      expect(checked, name).toBe(true);
    }
  });

  it('waits for a stop longer than a drain takes', () => {
    for (const [name, { stop_grace_period = '', environment = {} }] of services) {
      const [DRAIN_NOTICE, DRAIN_TIMEOUT] = ['DRAIN_NOTICE', 'DRAIN_TIMEOUT'].map((it) => environment[it]);
      if (DRAIN_TIMEOUT === undefined) continue;
      expect(seconds(stop_grace_period), name).toBeGreaterThan(
        seconds(String(DRAIN_NOTICE ?? '0s')) + seconds(String(DRAIN_TIMEOUT)),
      );
    }
    expect(seconds(compose.services['haproxy']?.stop_grace_period ?? '')).toBeGreaterThan(120);
    expect(compose.services['haproxy']?.stop_signal).toBe('SIGUSR1');
  });

  it('shows the outside one port, and keeps Redis and the workers inside', () => {
    expect(compose.networks['inside']?.internal).toBe(true);
    const open = started(compose, 'gpus-8').filter((name) => compose.services[name]?.ports);
    expect(open).toEqual(['haproxy']);
    for (const name of ['redis', 'worker-0', 'worker-cpu', 'prometheus', 'grafana']) {
      expect([name, compose.services[name]?.networks]).toEqual([name, ['inside']]);
    }
  });

  it('writes no secret into an environment, a command or a file of the repository', () => {
    const secret = /PASSWORD=|_KEY=|requirepass|SECRET=/;
    for (const [name, { command = [], environment = {} }] of services) {
      const words = [...command, ...Object.entries(environment).map(([key, value]) => `${key}=${value}`)];
      expect([name, words.filter((word) => secret.test(word))]).toEqual([name, []]);
    }
  });

  it('takes images by an exact tag', () => {
    for (const [name, service] of services.filter(([, it]) => !ours(it))) {
      expect(service.image, name).toMatch(/:v?\d+\.\d+\.\d+[\w.-]*$/);
    }
    expect(composeFor({ REDIS_IMAGE: 'redis:7.2.14@sha256:abc' }).services['redis']?.image).toBe(
      'redis:7.2.14@sha256:abc',
    );
  });
});

test('the example of .env starts the profile without GPUs, and nothing else of it is set', () => {
  expect(Object.entries(example).filter(([, value]) => value !== '')).toEqual([['COMPOSE_PROFILES', 'cpu']]);
});

describe('what is mounted', () => {
  it('tells Prometheus the same as the configuration for one gateway, under other names', async () => {
    await promtool(['check', 'config', '--syntax-only', 'compose.yml'], join(root, 'deploy/prometheus'));
    const jobs = (file: string) =>
      readYaml<{ scrape_configs: { job_name: string }[] }>(deployed(`prometheus/${file}`))[0]?.scrape_configs.map(
        ({ job_name }) => job_name,
      );
    expect(jobs('compose.yml')).toEqual([...(jobs('prometheus.yml') ?? []), 'haproxy', 'dcgm']);
  });

  it('gives Grafana its data source and dashboards where it looks for them', () => {
    const volumes = compose.services['grafana']?.volumes ?? [];
    expect(volumes).toContain('./grafana/provisioning:/etc/grafana/provisioning:ro');
    const [provider] = readYaml<{ providers: { options: { path: string } }[] }>(
      deployed('grafana/provisioning/dashboards/berth.yaml'),
    );
    expect(volumes).toContain(`./grafana/dashboards:${provider?.providers[0]?.options.path}:ro`);
    expect(statSync(join(root, 'deploy/grafana/dashboards')).isDirectory()).toBe(true);
  });
});

interface Ajv {
  compile(schema: object): ((value: unknown) => boolean) & { errors?: unknown };
}
