// What the worker's device is called in the roster. Pure.
import type { EngineOptions } from './engine/engine.ts';

/**
 * `cpu`, the names of the NVIDIA GPUs that the worker may use, or the kind of GPU when they cannot be told.
 * @param devices what CUDA_VISIBLE_DEVICES is set to, `null` = all
 * @param facts the driver's `information` file of each GPU of this machine
 */
export function deviceName(gpu: EngineOptions['gpu'], devices: string | null, facts: readonly string[]): string {
  if (gpu === false) return 'cpu';
  if (gpu !== 'cuda') return gpu;
  const wanted = devices?.split(',') ?? [];
  const named = facts.filter((fact) => wanted.includes(field(fact, 'GPU UUID')));
  const names = new Set((named.length > 0 ? named : facts).map((fact) => field(fact, 'Model')).filter(Boolean));
  // By number the GPUs of a mixed machine cannot be told apart here: the driver's order is not CUDA's.
  const [name = gpu] = names.size === 1 || named.length > 0 ? names : [];
  return name;
}

function field(fact: string, name: string): string {
  const line = fact.split('\n').find((line) => line.startsWith(`${name}:`)) ?? '';
  return line.slice(name.length + 1).trim();
}
