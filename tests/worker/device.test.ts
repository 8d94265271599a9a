// What a worker calls its device.
import { expect, it } from 'vitest';
import { deviceName } from '../../worker/device.ts';

const fact = (model: string, uuid: string): string => `Model: \t\t ${model}\nIRQ:   \t\t 42\nGPU UUID: \t ${uuid}\n`;
const h200 = fact('NVIDIA H200', 'GPU-aa');
const l4 = fact('NVIDIA L4', 'GPU-bb');

it.each([
  ['the processor', false, null, [h200], 'cpu'],
  ['another kind of GPU', 'metal', null, [], 'metal'],
  ['the only GPU', 'cuda', null, [h200], 'NVIDIA H200'],
  ['the one that is named', 'cuda', 'GPU-bb', [h200, l4], 'NVIDIA L4'],
  ['a number among equals', 'cuda', '1', [h200, h200], 'NVIDIA H200'],
  ['a number in a mixed machine', 'cuda', '1', [h200, l4], 'cuda'],
  ['a driver that says nothing', 'cuda', '0', [], 'cuda'],
] as const)('names %s', (_, gpu, devices, facts, name) => expect(deviceName(gpu, devices, facts)).toBe(name));
