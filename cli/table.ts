// What is drawn for a terminal: rows in columns as wide as they need to be, and bars.

export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** So many of all cells are full, a begun one included. */
export function bar(full: number, cells: number): string {
  const marks = Math.min(cells, Math.ceil(full));
  return '#'.repeat(marks) + '.'.repeat(cells - marks);
}
