// Numbers among the options of a command.
import { Misused } from './command.ts';
import type { Given } from './command.ts';

/** @param otherwise when the option was left out @throws Misused naming the option */
export function wholeNumber(name: string, value: Given['options'][string], otherwise: number, most: number): number {
  if (value === undefined) return otherwise;
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : 0;
  if (number >= 1 && number <= most) return number;
  throw new Misused(`--${name} must be a whole number from 1 to ${most}, not ${JSON.stringify(value)}`);
}
