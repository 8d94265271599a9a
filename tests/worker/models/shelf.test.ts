// Deleting models on a disk that several workers share.
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { removeModel } from '../../../worker/models/shelf.ts';

it('two workers that delete the same models of one store at once both succeed, and what others need stays', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-shelf-'));
  const digest = (at: number) => `sha256:${String(at).padStart(64, '0')}`;
  const blob = (at: number) => join(folder, 'blobs', digest(at).replace(':', '-'));
  const store = async (name: string, ...digests: string[]) => {
    const path = join(folder, 'manifests/registry.ollama.ai', name, 'latest');
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, JSON.stringify({ layers: digests.map((it) => ({ digest: it })) }));
  };
  await mkdir(join(folder, 'blobs'));
  await Promise.all(Array.from({ length: 41 }, (_, at) => writeFile(blob(at), '')));
  await store('library/stays', digest(0));
  const models = Array.from({ length: 40 }, (_, at) => ({ name: `team${at}/m:latest`, path: blob(at + 1) }));
  await Promise.all(models.map((_, at) => store(`team${at}/m`, digest(at + 1), digest(0))));

  const gone = models.flatMap((model) => [model, model]).map((model) => removeModel(model, folder, new Set()));
  expect((await Promise.allSettled(gone)).filter(({ status }) => status === 'rejected')).toEqual([]);
  expect(await readdir(join(folder, 'blobs'))).toEqual([digest(0).replace(':', '-')]);
  await rm(folder, { recursive: true });
});
