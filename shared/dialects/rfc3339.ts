// Points in time as replies write them.

/** `2026-11-22T09:30:00.000Z` */
export function rfc3339(unixMs: number): string {
  return new Date(unixMs).toISOString();
}

/** Whole seconds since the Unix epoch; 0 when the text is not a time. */
export function unixSeconds(time: string): number {
  const unixMs = Date.parse(time);
  return Number.isNaN(unixMs) ? 0 : Math.floor(unixMs / 1000);
}
