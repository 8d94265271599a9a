// A model that a hub has in parts is pulled, and the engine finds them all by the first.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@berth/shared/clock.ts';
import { silentLog } from '@berth/shared/log.ts';
import { llamaEngines } from '@berth/worker/engine/llama/open.ts';
import { readGguf } from '@berth/worker/models/gguf.ts';
import { readStore } from '@berth/worker/models/store.ts';
import { realDisk } from '@berth/worker/pull/layer.ts';
import { createPulls } from '@berth/worker/pull/pulls.ts';
import { expect, test } from 'vitest';
import { startRegistry } from '../../doubles/registry.ts';
import { type Metadata, ggufBytes } from '../../models/gguf.ts';
import { scriptedModel } from '../../models/scripted.ts';
import { aRequest, collect, someOptions, unaborted } from '../requests.ts';
import { publicOnly } from './models.ts';

test('a split model is pulled, read and run', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-split-'));
  await using registry = await startRegistry();
  const { metadata, tensors } = scriptedModel({ name: 'split', says: ['Every', ' part', ' is', ' here'] });
  const half = Math.ceil(tensors.length / 2);
  const split = (part: number): Metadata => ({
    'split.no': { kind: 'u16', value: part },
    'split.count': { kind: 'u16', value: 2 },
    'split.tensors.count': { kind: 'i32', value: tensors.length },
  });
  const files = [
    ggufBytes({ metadata: { ...metadata, ...split(0) }, tensors: tensors.slice(0, half) }),
    ggufBytes({ metadata: split(1), tensors: tensors.slice(half) }),
  ];
  files.forEach((file, part) =>
    registry.publish({ repository: 'o/r', tag: 'x', file, hubFile: `m-Q4_K_M-0000${part + 1}-of-00002.gguf` }),
  );
  const hosts = [{ host: registry.host, plain: true }];
  const hubUrl = `http://${registry.host}`;
  const more = { clock: systemClock, disk: realDisk, log: silentLog, onPulled: async () => {} };
  await createPulls({ modelsDir: folder, hosts, hubUrl, ...more }).pull('hf:o/r', () => {}, unaborted());

  const { path } = (await readStore(folder))!.models[0]!;
  expect((await readGguf(path)).architecture).toBe('llama');
  await using engine = await llamaEngines({ env: process.env, publicOnly })({ ...someOptions, path }, unaborted());
  expect((await collect(engine, aRequest('hello'))).text).toBe('Every part is here');
  await rm(folder, { recursive: true });
});
