// Waiting for what processes will do: looked at again and again, with a bound, never slept for.

const lookEveryMsDefault = 20;

export interface Within {
  withinMs?: number;
  /** Between two looks; more where a look costs something. */
  lookEveryMs?: number;
}

/**
 * Settles as soon as `holds` says so.
 * @returns milliseconds that it took
 * @throws Error that says what did not come true in time
 */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { withinMs = 30_000, lookEveryMs = lookEveryMsDefault }: Within = {},
): Promise<number> {
  const startMs = performance.now();
  while (!(await holds())) {
    if (performance.now() - startMs > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
  return performance.now() - startMs;
}
