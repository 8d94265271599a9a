// Whether the GPU's driver answers, and whether the libraries that the engine needs of CUDA are there.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Clock } from '@berth/shared/clock.ts';
import { gpuReader } from '../../worker/gpu.ts';
import type { GpuReading } from '../../worker/gpu.ts';
import type { Gpu } from '../../worker/settings.ts';
import { good, problem, size, warning } from './finding.ts';
import type { Finding } from './finding.ts';

const run = promisify(execFile);
const subject = 'GPU';

export interface Seen {
  /** The driver's version; `null` = `nvidia-smi` does not answer. */
  driver: string | null;
  gpus: readonly GpuReading[];
  /** What the system's loader knows, as `ldconfig -p` prints it; `null` = it cannot be asked. */
  libraries: string | null;
}

export async function lookForGpus(devices: string | null, clock: Clock): Promise<Seen> {
  const ask = (program: string, ...args: string[]) =>
    run(program, args, { timeout: 5_000 }).then(
      ({ stdout }) => stdout,
      () => null,
    );
  const [versions, libraries, gpus] = await Promise.all([
    ask('nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader'),
    ask('ldconfig', '-p').then((found) => found ?? ask('/sbin/ldconfig', '-p')),
    gpuReader(devices, clock)(),
  ]);
  return { driver: versions?.split('\n')[0]?.trim() || null, gpus, libraries };
}

/** The engine's package for CUDA brings neither the driver's library nor CUDA's own. */
const needed = ['libcuda.so.1', 'libcudart.so', 'libcublas.so'];

/** @param kind what the settings want @param libraryPath LD_LIBRARY_PATH, in which more may lie */
export function judgeGpus(kind: Gpu['kind'], { driver, gpus, libraries }: Seen, libraryPath: string): Finding[] {
  if (kind === false) return [good(subject, 'the settings want the processor (GPU=cpu)')];
  if (driver === null && kind === 'auto') return [good(subject, 'no NVIDIA driver answers: the processor is used')];
  if (kind !== 'cuda' && kind !== 'auto')
    return [good(subject, `the settings want ${kind}, which is not checked here`)];
  if (driver === null) {
    const advice = 'install the driver (nvidia-smi must answer), or in a container give it the GPU (--gpus all)';
    return [problem(subject, 'the settings want CUDA and nvidia-smi does not answer', advice)];
  }
  const shown = gpus.map(({ gpu, memoryBytes }) => `GPU ${gpu} with ${size(memoryBytes ?? 0)}`).join(', ');
  const first =
    gpus.length > 0
      ? good(subject, `driver ${driver}, ${shown}`)
      : problem(
          subject,
          `driver ${driver}, but none of its GPUs is the one that GPU names`,
          'correct GPU: nvidia-smi -L lists them',
        );
  return [first, ...judgeLibraries(libraries, libraryPath)];
}

function judgeLibraries(libraries: string | null, libraryPath: string): Finding[] {
  if (libraries === null) return [];
  const missing = needed.filter((name) => !libraries.includes(name));
  if (missing.length === 0) return [good('CUDA', `${needed.join(', ')} are there`)];
  const advice =
    'install the CUDA runtime 13 or 12 (cuda-cudart and libcublas), or use the image of the worker: without it a load fails';
  const found = `the system's loader does not know ${missing.join(', ')}`;
  if (libraryPath === '') return [problem('CUDA', found, advice)];
  return [warning('CUDA', `${found}; LD_LIBRARY_PATH may`, advice)];
}
