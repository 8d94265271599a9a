// What was probably meant by a word that is not known.

/** The nearest of the known words; `null` when none is near enough to be meant. */
export function nearest(typed: string, known: readonly string[]): string | null {
  const [best] = known
    .map((word) => ({ word, edits: editsBetween(typed, word) }))
    .toSorted((a, b) => a.edits - b.edits || a.word.length - b.word.length);
  const close = best !== undefined && best.edits <= Math.max(1, Math.floor(best.word.length / 3));
  if (close) return best.word;
  const [begun] = typed.length < 2 ? [] : known.filter((word) => word.startsWith(typed));
  return begun ?? null;
}

/** Letters to insert, leave out, change or swap with their neighbour (optimal string alignment). */
function editsBetween(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, at) => at)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? Infinity;
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? at(i - 2, j - 2) + 1 : Infinity;
      row.push(Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (same ? 0 : 1), swap));
    }
  }
  return at(a.length, b.length);
}
