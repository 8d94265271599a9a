// The manifests for Kubernetes against its published schemas, and what must hold in them.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { gatewaySettings } from '../../gateway/settings.ts';
import { workerSettings } from '../../worker/settings.ts';
import { root } from '../e2e/berth.ts';
import { deployed, importChecker, installCheckers, readYaml } from './checkers.ts';

interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace: string };
  spec?: { template?: { spec: Pod } };
  data?: Record<string, string>;
}

interface Pod {
  terminationGracePeriodSeconds?: number;
  securityContext: { runAsNonRoot: boolean };
  containers: {
    image: string;
    env?: { name: string; value?: string }[];
    securityContext: object;
    volumeMounts: { name: string }[];
  }[];
  volumes: { name: string }[];
}

let manifests: Manifest[];

beforeAll(() => installCheckers(), 300_000);
beforeAll(() => {
  const files = readdirSync(join(root, 'deploy/kubernetes')).filter((file) => file.endsWith('.yaml'));
  manifests = files.flatMap((file) => readYaml<Manifest>(deployed(`kubernetes/${file}`)));
});

/** @throws what the schema of its kind says against it */
async function validate(manifest: Manifest): Promise<void> {
  const { apiVersion, kind } = manifest;
  const [group, home] = apiVersion.startsWith('keda.sh')
    ? [apiVersion, '@kubernetes-models/keda']
    : [apiVersion, 'kubernetes-models'];
  const loaded = await importChecker<Record<string, new (data: object) => { validate(): void }>>(
    `${home}/${group}/${kind}.js`,
  );
  const Model = loaded[kind];
  if (Model === undefined) throw new Error(`there is no schema of ${kind}`);
  new Model(manifest).validate();
}

describe('the manifests', () => {
  it('follow the published schemas', async () => {
    expect(manifests.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining([
        'Deployment',
        'DaemonSet',
        'StatefulSet',
        'ScaledObject',
        'NetworkPolicy',
        'PodDisruptionBudget',
      ]),
    );
    for (const manifest of manifests) {
      await expect(
        validate(manifest).then(() => 'valid'),
        `${manifest.kind} ${manifest.metadata.name}`,
      ).resolves.toBe('valid');
    }
    const broken = structuredClone(manifests.find(({ kind }) => kind === 'Deployment')) as Manifest;
    Object.assign(broken.spec ?? {}, { replicas: 'many' });
    await expect(validate(broken)).rejects.toThrow('replicas');
  });

  const pods = () =>
    manifests.flatMap((it) => (it.spec?.template ? [[it.metadata.name, it.spec.template.spec] as const] : []));

  it('run nothing as root, and mount only volumes that they declare', () => {
    expect(pods()).toHaveLength(3);
    for (const [name, { securityContext, containers, volumes }] of pods()) {
      expect(securityContext.runAsNonRoot, name).toBe(true);
      for (const { securityContext: own, volumeMounts, image } of containers) {
        expect(own).toEqual({
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
        });
        expect(image).toMatch(/:\d+\.\d+\.\d+/);
        const known = new Set([...volumes.map(({ name }) => name), 'data']);
        expect(volumeMounts.map(({ name }) => name).filter((it) => !known.has(it))).toEqual([]);
      }
    }
  });

  it('set nothing that gateway and worker do not know, and stop later than a drain ends', () => {
    for (const [name, { containers, terminationGracePeriodSeconds = 0 }] of pods()) {
      const env = Object.fromEntries((containers[0]?.env ?? []).map((it) => [it.name, it.value ?? '']));
      const settings = name.includes('gateway') ? gatewaySettings : workerSettings;
      const known = Object.values(settings).flatMap(({ name, secret }) => (secret ? [`${name}_FILE`] : [name]));
      expect(Object.keys(env).filter((it) => !known.includes(it) && it !== 'NODE_NAME' && it !== 'POD_IP')).toEqual([]);
      const drainS = ['DRAIN_NOTICE', 'DRAIN_TIMEOUT'].map((it) => Number.parseInt(env[it] ?? '0', 10));
      expect(terminationGracePeriodSeconds, name).toBeGreaterThanOrEqual(drainS.reduce((sum, it) => sum + it));
    }
  });

  it('give Redis the configuration of compose.yaml', () => {
    const lines = (text = '') => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const config = manifests.find(({ kind }) => kind === 'ConfigMap')?.data?.['redis.conf'];
    expect(lines(config)).toEqual(lines(deployed('redis.conf')));
  });
});
