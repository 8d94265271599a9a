// The order of names in the ledger: by their bytes in UTF-8, as Redis has it, not by UTF-16 unit and not by locale.
import type { Survey } from './ledger.ts';

/** Negative when the left name comes first. */
export function compareBytes(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) {
    const a = left.charCodeAt(i);
    const b = right.charCodeAt(i);
    if (a !== b) return codePointOrder(a) - codePointOrder(b);
  }
  return left.length - right.length;
}

/** Surrogates stand for code points above all others, but their units lie below U+E000. */
function codePointOrder(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** Sorts objects by the names in some of their fields, the first being the most significant. */
function by<Field extends string>(...fields: Field[]) {
  return (left: Record<Field, string | number>, right: Record<Field, string | number>): number =>
    fields.reduce((order, field) => order || compareBytes(String(left[field]), String(right[field])), 0);
}

/** The same survey always looks the same. */
export function sorted(survey: Survey): Survey {
  return {
    ...survey,
    waiting: survey.waiting.toSorted(by('model', 'priority')),
    workers: survey.workers.toSorted(by('worker')),
    leases: survey.leases.toSorted(by('worker', 'model')),
  };
}
