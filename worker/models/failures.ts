// How long a model that failed is left alone: data → data.

/** What went wrong with one version of a model's file. */
export interface Failure {
  version: string;
  /** Loads that failed in a row. */
  loads: number;
  /** Deaths of its engine that came soon after the load. */
  deaths: number;
  /** On the monotonic clock: no attempt before. */
  untilMs: number;
  /** Why the load failed; `null` after a death. */
  reason: string | null;
}

const loadBackoffMs = 5_000;
const loadBackoffMaxMs = 600_000;
const deathBackoffMs = 1_000;
const deathBackoffMaxMs = 30_000;
/** An engine that lived this long and died did not die of being started. */
const healthyMs = 60_000;

const fresh = (version: string): Failure => ({ version, loads: 0, deaths: 0, untilMs: 0, reason: null });

const ofVersion = (before: Failure | undefined, version: string): Failure =>
  before?.version === version ? before : fresh(version);

/** Backs off 5 s, 10 s, 20 s … up to 10 minutes. */
export function afterFailedLoad(before: Failure | undefined, version: string, reason: string, nowMs: number): Failure {
  const { loads, deaths } = ofVersion(before, version);
  const waitMs = Math.min(loadBackoffMs * 2 ** loads, loadBackoffMaxMs);
  return { version, loads: loads + 1, deaths, untilMs: nowMs + waitMs, reason };
}

/** The first death is forgiven at once; then 1 s, 2 s, 4 s … up to 30 s. */
export function afterDeath(before: Failure | undefined, version: string, livedMs: number, nowMs: number): Failure {
  const deaths = livedMs >= healthyMs ? 0 : ofVersion(before, version).deaths;
  const waitMs = deaths === 0 ? 0 : Math.min(deathBackoffMs * 2 ** (deaths - 1), deathBackoffMaxMs);
  return { version, loads: 0, deaths: deaths + 1, untilMs: nowMs + waitMs, reason: null };
}

/** A load that worked clears the failed loads; deaths stay until the engine has lived. */
export function afterLoad(before: Failure | undefined): Failure | undefined {
  return before === undefined || before.deaths === 0 ? undefined : { ...before, loads: 0, reason: null };
}

/** The failure that still holds for this version now, or `null`: a changed file is tried at once. */
export function holding(failure: Failure | undefined, version: string, nowMs: number): Failure | null {
  return failure !== undefined && failure.version === version && nowMs < failure.untilMs ? failure : null;
}
