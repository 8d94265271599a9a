// What is read of nvidia-smi and of processes, with a program of that name on the PATH.
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gpuReader, ofWorker, parseGpus } from '../../worker/gpu.ts';
import { parseProcess, readHost, readProcess } from '../../worker/host.ts';
import { virtualClock } from '../doubles/clock.ts';

const two = [
  '0, GPU-11111111-aaaa, 20480, 81559, 97, 412.51, 700.00, 61',
  '1, GPU-22222222-bbbb, 5, 81559, 0, [N/A], [Not Supported], 28',
  '',
].join('\n');

let folder = '';
const path = process.env['PATH'];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-smi-'));
  process.env['PATH'] = `${folder}${delimiter}${path}`;
});
afterEach(async () => {
  process.env['PATH'] = path;
  await rm(folder, { recursive: true, force: true });
});

/** A program that writes down its arguments and says this. */
async function fakeSmi(says: string, exitCode = 0): Promise<void> {
  const file = join(folder, 'nvidia-smi');
  await writeFile(join(folder, 'says'), says);
  await writeFile(file, `#!/bin/sh\necho "$@" >> ${folder}/calls\ncat ${folder}/says\nexit ${exitCode}\n`);
  await chmod(file, 0o755);
}

const calls = async () => (await readFile(join(folder, 'calls'), 'utf8')).trim().split('\n');

describe('the driver', () => {
  it('is asked for the GPUs of this worker, and its answer is kept for a moment', async () => {
    await fakeSmi(two);
    const clock = virtualClock();
    const read = gpuReader('GPU-11111111', clock);
    expect(await read()).toEqual([
      {
        gpu: '0',
        uuid: 'GPU-11111111-aaaa',
        memoryUsedBytes: 20_480 * 2 ** 20,
        memoryBytes: 81_559 * 2 ** 20,
        utilization: 0.97,
        powerWatts: 412.51,
        powerLimitWatts: 700,
        temperatureCelsius: 61,
      },
    ]);
    await read();
    expect(await calls()).toHaveLength(1);
    await clock.advance(2_001);
    await read();
    expect((await calls())[1]).toMatch(/^--query-gpu=index,uuid,\S+ --format=csv,noheader,nounits$/);
  });

  it('that fails gives nothing, and is asked again after a minute', async () => {
    await fakeSmi('NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.', 9);
    const clock = virtualClock();
    const read = gpuReader(null, clock);
    expect(await read()).toEqual([]);
    await fakeSmi(two);
    await clock.advance(30_000);
    expect(await read()).toEqual([]);
    await clock.advance(31_000);
    expect(await read()).toHaveLength(2);
  });
});

describe('an answer', () => {
  it('without a value says null', () => {
    const [, second] = parseGpus(two);
    expect([second?.powerWatts, second?.powerLimitWatts, second?.utilization]).toEqual([null, null, 0]);
  });

  it('that is no table is none', () => {
    expect(parseGpus('No devices were found\n')).toEqual([]);
  });

  it('is cut to the devices that CUDA was told, by number or UUID', () => {
    const all = parseGpus(two);
    expect(ofWorker(all, '1').map(({ gpu }) => gpu)).toEqual(['1']);
    expect(ofWorker(all, 'GPU-22222222-bbbb,0').map(({ gpu }) => gpu)).toEqual(['0', '1']);
    expect(ofWorker(all, 'MIG-123456')).toEqual([]);
    expect(ofWorker(all, null)).toHaveLength(2);
  });
});

describe('the system', () => {
  it('tells processor time and memory of this process, and nothing of one that is not there', async () => {
    const own = await readProcess(process.pid);
    expect(own?.residentBytes).toBeGreaterThan(10 * 2 ** 20);
    expect(own?.cpuS).toBeGreaterThan(0);
    expect(own?.cpuS).toBeLessThan(600);
    expect(await readProcess(2 ** 30)).toBeNull();
  });

  it('is read past a name with spaces and brackets', () => {
    const stat = '7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 1 0 5 0 0';
    expect(parseProcess(stat, 'Name:\tx\nVmRSS:\t    12 kB\n')).toEqual({ cpuS: 3, residentBytes: 12_288 });
    expect(parseProcess(stat, 'Name:\tzombie\n')).toBeNull();
  });

  it('tells what the machine has', () => {
    const { cpus, cpuBusyS, memoryBytes, memoryFreeBytes } = readHost();
    expect(cpus).toBeGreaterThan(0);
    expect(cpuBusyS).toBeGreaterThan(0);
    expect(memoryFreeBytes).toBeLessThanOrEqual(memoryBytes);
  });
});
