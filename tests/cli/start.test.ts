// A gateway has the same options of Node however it is started.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeOptions } from '../../gateway/settings.ts';
import { cleanEnv, root } from '../e2e/berth.ts';
import { eventually } from '../e2e/eventually.ts';

test.each(['package.json', 'deploy/gateway.Dockerfile', 'deploy/systemd/berth-gateway.service'])('by %s', (path) => {
  const text = readFileSync(join(root, path), 'utf8').replaceAll(/[",]/g, '');
  expect(text).toContain(`${nodeOptions.join(' ')} gateway/start.mjs`);
});

test('by `berth gateway`, which ends as one process', { timeout: 60_000 }, async () => {
  const child = spawn(process.execPath, ['cli/start.mjs', 'gateway', '--port', '0'], { cwd: root, env: cleanEnv() });
  try {
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += String(text)));
    await eventually('it listens', () => said.includes('listening'), { withinMs: 30_000 });
    const command = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').split('\0');
    expect(command).toEqual(expect.arrayContaining([...nodeOptions]));
    expect(said).not.toContain('Warning');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  } finally {
    child.kill('SIGKILL');
  }
});
