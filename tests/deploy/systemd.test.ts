// The units for systemd, looked at by systemd itself, with the examples of drop-ins in place.
import { execFile } from 'node:child_process';
import { access, constants, copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { gatewaySettings } from '../../gateway/settings.ts';
import { workerSettings } from '../../worker/settings.ts';
import { aFolder, root } from '../e2e/berth.ts';
import { deployed } from './checkers.ts';

const units = ['berth-gateway.service', 'berth-worker@.service'] as const;
const examples = join(root, 'deploy/systemd/examples');
const run = promisify(execFile);

/** A machine without systemd has nothing that could look at its units. */
async function hasSystemd(): Promise<boolean> {
  const tries = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((it) => access(join(it, 'systemd-analyze'), constants.X_OK));
  return (await Promise.allSettled(tries)).some(({ status }) => status === 'fulfilled');
}

/** The unit as it would lie on a machine, with this Node as its program and all examples as its drop-ins. */
async function installed(folder: string, unit: string): Promise<string> {
  const name = unit.replace('@.', '@0.');
  const text = deployed(`systemd/${unit}`).replaceAll('/opt/berth/node_modules/.bin/node', process.execPath);
  await writeFile(join(folder, name), text);
  await mkdir(join(folder, `${name}.d`));
  for (const it of await readdir(examples)) await copyFile(join(examples, it), join(folder, `${name}.d`, it));
  return name;
}

describe.skipIf(!(await hasSystemd()))('systemd', () => {
  it.each(units)('has nothing to say against %s and its drop-ins', async (unit) => {
    await using folder = await aFolder();
    const env = { ...process.env, SYSTEMD_UNIT_PATH: `${folder.path}:` };
    const { stderr } = await run('systemd-analyze', ['verify', '--man=no', await installed(folder.path, unit)], {
      env,
    });
    // It reads every unit of the machine with them: what it says of others is not ours.
    expect(stderr.split('\n').filter((line) => /berth|team\.conf|models\.conf|secrets\.conf/.test(line))).toEqual([]);
  });

  it.each([
    ['berth-gateway.service', 1.5],
    ['berth-worker@.service', 2.2],
  ] as const)('finds that %s is exposed to at most %d of 10', async (unit, most) => {
    await using folder = await aFolder();
    const path = join(folder.path, await installed(folder.path, unit));
    const args = ['security', '--offline=yes', '--no-pager', `--threshold=${most * 10}`, path];
    const { stdout } = await run('systemd-analyze', args);
    expect(stdout).toMatch(/Overall exposure level .*: \d\.\d OK/);
  });
});

describe('the units and their drop-ins', () => {
  const texts = async () => {
    const names = (await readdir(examples)).map((it) => `systemd/examples/${it}`);
    return [...units.map((it) => `systemd/${it}`), ...names].map(deployed);
  };

  it('set nothing that gateway and worker do not know', async () => {
    const known = [...Object.values(gatewaySettings), ...Object.values(workerSettings)].flatMap(
      ({ name, aliases, secret }) => [name, ...aliases, ...(secret ? [`${name}_FILE`] : [])],
    );
    const set = (await texts()).flatMap((text) =>
      [...text.matchAll(/^Environment=(.*)$/gm)].flatMap(([, all = '']) =>
        [...all.matchAll(/(?:^| )([A-Z_]+)=/g)].map(([, name = '']) => name),
      ),
    );
    expect(set.length).toBeGreaterThan(8);
    const others = ['NODE_ENV', 'CUDA_CACHE_PATH', 'CUDA_CACHE_MAXSIZE'];
    expect(set.filter((name) => !known.includes(name) && !others.includes(name))).toEqual([]);
  });

  it.each(units)('%s is given more time to stop than a drain takes', (unit) => {
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(deployed(`systemd/${unit}`))?.[1])).toBeGreaterThan(123);
  });
});
