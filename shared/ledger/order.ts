// The order of names in the ledger: by their bytes in UTF-8, as Redis has it, not by UTF-16 unit and not by locale.

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

/** Sorts objects by the name in one of their fields. */
export function byName<Field extends string>(field: Field) {
  return (left: Record<Field, string>, right: Record<Field, string>): number => compareBytes(left[field], right[field]);
}
