// What NVIDIA's driver tells of the worker's GPUs, by `nvidia-smi`: asked when somebody looks, and kept for a moment.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Clock } from '@berth/shared/clock.ts';

/** `null` = this GPU does not tell. */
export interface GpuReading {
  /** Its number, as `nvidia-smi` shows it. */
  gpu: string;
  uuid: string;
  memoryUsedBytes: number | null;
  memoryBytes: number | null;
  /** 0 to 1. */
  utilization: number | null;
  powerWatts: number | null;
  powerLimitWatts: number | null;
  temperatureCelsius: number | null;
}

export type ReadGpus = () => Promise<readonly GpuReading[]>;

/** In the order in which `parseGpus` reads them. */
const fields = 'index,uuid,memory.used,memory.total,utilization.gpu,power.draw,power.limit,temperature.gpu';

/** A reading is used again for so long: the program takes a tenth of a second and more. */
const freshMs = 2_000;
/** After a failure it is not asked again for so long. */
const pauseMs = 60_000;
/** A driver that hangs must not hold up a scrape. */
const answerMs = 3_000;

/** @param devices those of the worker, as in CUDA_VISIBLE_DEVICES; `null` = all */
export function gpuReader(devices: string | null, clock: Clock): ReadGpus {
  let reading: Promise<readonly GpuReading[]> = Promise.resolve([]);
  let untilMs = Number.NEGATIVE_INFINITY;
  const ask = async (): Promise<readonly GpuReading[]> => {
    try {
      return ofWorker(parseGpus(await askDriver()), devices);
    } catch {
      untilMs = clock.monotonic() + pauseMs; // not there, or it hangs: then there are no samples
      return [];
    }
  };
  return () => {
    if (clock.monotonic() >= untilMs) {
      untilMs = clock.monotonic() + freshMs;
      reading = ask();
    }
    return reading;
  };
}

/** What the worker's GPUs may be called, numbers and UUIDs; `null` = it may use all that there are. */
export async function gpuNames(devices: string | null): Promise<string[] | null> {
  if (devices === null) return null;
  const told = await askDriver().then(parseGpus, () => []);
  return [...devices.split(','), ...ofWorker(told, devices).flatMap(({ gpu, uuid }) => [gpu, uuid])];
}

async function askDriver(): Promise<string> {
  const args = [`--query-gpu=${fields}`, '--format=csv,noheader,nounits'];
  const { stdout } = await promisify(execFile)('nvidia-smi', args, { timeout: answerMs, killSignal: 'SIGKILL' });
  return stdout;
}

/** One GPU per line; what a GPU does not tell is a word in brackets, such as `[N/A]`. Pure. */
export function parseGpus(text: string): GpuReading[] {
  const rows = text.split('\n').map((line) => line.split(',').map((cell) => cell.trim()));
  return rows
    .filter(({ length }) => length === fields.split(',').length)
    .map(([gpu = '', uuid = '', used, total, utilization, draw, limit, temperature]) => ({
      gpu,
      uuid,
      memoryUsedBytes: number(used, 2 ** 20),
      memoryBytes: number(total, 2 ** 20),
      utilization: number(utilization, 0.01),
      powerWatts: number(draw, 1),
      powerLimitWatts: number(limit, 1),
      temperatureCelsius: number(temperature, 1),
    }));
}

function number(cell: string | undefined, unit: number): number | null {
  return cell !== undefined && /^\d+(\.\d+)?$/.test(cell) ? Number(cell) * unit : null;
}

/** By number, or by the beginning of the UUID, as CUDA takes it. Pure. */
export function ofWorker(all: readonly GpuReading[], devices: string | null): readonly GpuReading[] {
  if (devices === null) return all;
  const wanted = devices.split(',').map((name) => name.trim());
  return all.filter(({ gpu, uuid }) =>
    wanted.some((name) => name === gpu || (name.length > 4 && uuid.startsWith(name))),
  );
}
