// The Dockerfiles, looked at by a checker and by what must hold for every image of ours.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { root } from '../e2e/berth.ts';
import { deployed, installCheckers, loadChecker } from './checkers.ts';
import { imageOf, stagesOf } from './dockerfile.ts';

beforeAll(() => installCheckers(), 300_000);

const images = [
  ['gateway', ''],
  ['worker', 'cpu'],
  ['worker', 'cuda'],
] as const;

describe.each(images)('the image of the %s %s', (name, target) => {
  const text = deployed(`${name}.Dockerfile`);
  const image = () => imageOf(text, target || undefined);

  it('leaves a checker of Dockerfiles nothing to say', () => {
    const { validate } = loadChecker<{ validate: (text: string) => { message: string }[] }>('dockerfile-utils');
    expect(validate(text)).toEqual([]);
    expect(validate('FROM node\nRUM npm ci')).not.toEqual([]);
  });

  it('is made of bases with an exact tag, and of the Node that the project is tested with', () => {
    const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      devDependencies: { node: string };
    };
    const bases = [...text.matchAll(/^ARG \w+_IMAGE=(.*)$/gm)].map(([, tag = '']) => tag);
    for (const base of bases) expect(base).toMatch(/^[\w/]+:\d+\.\d+\.\d+-[\w.-]+$/);
    expect(bases[0]).toBe(`node:${devDependencies.node}-bookworm-slim`);
    for (const { from } of stagesOf(text)) expect(from).toMatch(/^(\$\{\w+_IMAGE\}|packages|base)$/);
  });

  it('runs as nobody in particular, hears signals itself, and says whether it is well', () => {
    const { user, entrypoint, command, stopSignal, healthcheck, labels } = image();
    expect(user).toBe('1000:1000');
    expect(entrypoint).toEqual(['node']);
    expect(command.at(-1)).toBe(`${name}/start.mjs`);
    expect(stopSignal).toBe('SIGTERM');
    expect(healthcheck[0]).toBe('node');
    for (const label of ['title', 'description', 'licenses', 'version', 'revision']) {
      expect(labels).toContain(`org.opencontainers.image.${label}`);
    }
    expect(labels).toContain('berth.sbom');
  });

  it('copies the code after the packages, so that a change of code installs nothing', () => {
    const packages = stagesOf(text).find(({ name }) => name === 'packages');
    const before =
      packages?.steps.slice(
        0,
        packages.steps.findIndex(({ args }) => args.includes('npm ci')),
      ) ?? [];
    const copied = before.filter(({ name }) => name === 'COPY').map(({ args }) => args);
    expect(copied).toEqual([
      'package.json package-lock.json ./',
      ...['gateway', 'shared', 'worker'].map((it) => `${it}/package.json ${it}/`),
    ]);
  });

  it('copies only what a build may see', () => {
    const allowed = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
    for (const { from, sources } of image().copies) {
      if (from !== null) continue;
      for (const source of sources) {
        expect(existsSync(join(root, source)), source).toBe(true);
        expect(allowed, source).toContain(`!${source}`);
      }
    }
  });
});

test("the worker's image brings the libraries that the engine's CUDA build asks for, of that version", () => {
  const path = 'node_modules/@node-llama-cpp/linux-x64-cuda/bins/linux-x64-cuda/libggml-cuda.so';
  const text = readFileSync(join(root, path)).toString('latin1');
  const asked = new Set(text.match(/\blib(cudart|cublas|cublasLt|nccl|curand|cusparse|cufft)\.so\.\d+/g));
  const brought = new Set(
    deployed('worker.Dockerfile')
      .replaceAll(/^#.*$/gm, '')
      .match(/lib\w+\.so\.\d+/g),
  );
  expect([...asked].filter((it) => !brought.has(it))).toEqual([]);
  // cuBLAS itself is made of two.
  expect([...brought].filter((it) => !asked.has(it))).toEqual(['libcublasLt.so.13']);
  expect(deployed('worker.Dockerfile')).toContain('CUDA_IMAGE=nvidia/cuda:13.');
});
