// `berth doctor`: what it finds on a machine that is well, on one that is not, and what it says to do.
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { judgeClock } from '../../cli/doctor/clock.ts';
import type { Finding } from '../../cli/doctor/finding.ts';
import { judgeGpus } from '../../cli/doctor/gpu.ts';
import { judgeOpenFiles } from '../../cli/doctor/machine.ts';
import { judgeModel } from '../../cli/doctor/models.ts';
import { aFolder } from '../e2e/berth.ts';
import { startRig } from '../gateway/rig.ts';
import { gguf } from '../worker/gguf-file.ts';
import { typeIn } from './typed.ts';

const states = (text: string) => {
  const findings = JSON.parse(text) as Finding[];
  return (subject: string) => findings.filter((each) => each.subject === subject).map(({ state }) => state);
};

describe('berth doctor', () => {
  it('finds no problem where gateway, Redis, key and models are well', async () => {
    await using rig = await startRig();
    await using models = await aFolder();
    await writeFile(join(models.path, 'm.gguf'), gguf());
    const env = { REDIS_URL: inject('redisUrl'), MODELS_DIR: models.path, GPU: 'cpu', GATEWAY_PORT: '0' };
    const { code, said, explained } = await typeIn('doctor', {
      url: rig.url,
      env: { ...env, PROMPT_CACHE_BYTES: '0' },
    });
    expect([code, explained]).toEqual([0, '']);
    const of = states(said);
    expect(of('Redis')).toEqual(['good', 'good']);
    for (const subject of ['settings', 'gateway', 'key', 'GATEWAY_PORT', 'GPU', 'models']) {
      expect([subject, of(subject)]).toEqual([subject, ['good']]);
    }
  });

  it('says of each problem what to do, and ends with 1', async () => {
    await using folder = await aFolder();
    const models = join(folder.path, 'models');
    await mkdir(models);
    await writeFile(join(models, 'broken.gguf'), 'no model at all');
    const other = createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const port = String((other.address() as AddressInfo).port);
    const env = { REDIS_URL: 'redis://127.0.0.1:9', MODELS_DIR: models, GATEWAY_PORT: port, GPU: 'cpu' };
    const { code, said, explained } = await typeIn('doctor', { url: 'http://127.0.0.1:9', env, terminal: true });
    other.close();
    expect([code, explained]).toEqual([1, 'There are 4 problems.']);
    expect(said).toMatch(/^PROBLEM {2}Redis +Redis at redis:\/\/127.0.0.1:9 cannot be reached/m);
    expect(said).toMatch(
      /^PROBLEM {2}GATEWAY_PORT .*in use by another program\n +-> stop the other program, or choose/m,
    );
    expect(said).toMatch(/^PROBLEM {2}models +.*broken/m);
    expect(said).toMatch(/^PROBLEM {2}models +no usable/m);
    expect(said).toMatch(/^warning {2}gateway +none answers at http:\/\/127.0.0.1:9\n +-> start it, or set BERTH_URL/m);
  });

  it('names every setting that cannot be read', async () => {
    const env = { NUM_PARALLEL: 'many', GATEWAY_PORT: 'x', REDIS_URL: 'redis:secret' };
    const { code, said } = await typeIn('doctor', { url: 'http://127.0.0.1:9', env, terminal: true });
    expect(code).toBe(1);
    for (const name of ['NUM_PARALLEL', 'GATEWAY_PORT', 'REDIS_URL']) expect(said).toContain(`settings      ${name}: `);
    expect(said).not.toContain('secret');
  });
});

describe('what is judged', () => {
  it('clocks: a difference that refuses calls is a problem, a small one is odd', () => {
    expect([0, 1_900, -5_000, 31_000].map((ms) => judgeClock('Redis', ms).state)).toEqual([
      'good',
      'good',
      'warning',
      'problem',
    ]);
    expect(judgeClock('Redis', -5_000).found).toBe('that of Redis is 5.0 s behind ours');
  });

  it('open files: what Node can raise itself to', () => {
    const limits = (hard: string) =>
      `Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 ${hard}               files\n`;
    expect(['1024', '4096', '1048576', 'unlimited'].map((hard) => judgeOpenFiles(limits(hard)).state)).toEqual([
      'warning',
      'good',
      'good',
      'good',
    ]);
  });

  it('models: what is larger than the memory cannot be loaded', () => {
    expect(judgeModel({ name: 'm', sizeBytes: 2 ** 30 }, 2 ** 31).state).toBe('good');
    expect(judgeModel({ name: 'm', sizeBytes: 2 ** 32 }, 2 ** 31)).toMatchObject({
      state: 'problem',
      found: 'm, 4.0 GiB',
      advice: '2.0 GiB of memory are not enough: take a smaller quantization',
    });
  });

  it('GPUs: the driver, the one that is named, and the libraries of CUDA', () => {
    const one = { gpu: '0', uuid: 'GPU-1', memoryBytes: 80 * 2 ** 30 } as never;
    const all = 'libcuda.so.1 libcudart.so.13 libcublas.so.13';
    const seen = { driver: '580.1', gpus: [one], libraries: all };
    const judged = (...args: Parameters<typeof judgeGpus>) => judgeGpus(...args).map(({ state }) => state);
    expect(judged('cuda', seen, '')).toEqual(['good', 'good']);
    expect(judged('auto', { driver: null, gpus: [], libraries: '' }, '')).toEqual(['good']);
    expect(judged('cuda', { driver: null, gpus: [], libraries: '' }, '')).toEqual(['problem']);
    expect(judged('cuda', { ...seen, gpus: [] }, '')).toEqual(['problem', 'good']);
    const bare = { ...seen, libraries: 'libcuda.so.1' };
    expect(judged('cuda', bare, '')).toEqual(['good', 'problem']);
    expect(judged('cuda', bare, '/opt/cuda/lib64')).toEqual(['good', 'warning']);
    expect(judgeGpus('cuda', bare, '')[1]?.found).toBe("the system's loader does not know libcudart.so, libcublas.so");
    expect(judged(false, seen, '')).toEqual(['good']);
  });
});
