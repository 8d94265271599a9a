// How long a request will wait: promises that learn from how earlier ones were kept.

/** Half of all requests wait no longer than the one, nine of ten no longer than the other. */
export interface PromisedWait {
  p50Ms: number;
  p90Ms: number;
}

export interface Eta {
  /** @param basisMs the wait as the rate of releases alone would have it */
  promise(basisMs: number): PromisedWait;
  /** A request that was promised this has been served after so long. */
  served(promised: PromisedWait, waitedMs: number): void;
}

/** How far one wait moves the next promises, in logarithms: a tenth. */
const step = 0.1;

/**
 * A basis is multiplied by two factors, and each wait moves them: a quantile's factor grows by step · q when the wait
 * was longer than promised, else shrinks by step · (1 − q). So in the long run exactly the share q of all waits keeps
 * its promise, whatever is wrong with the basis (adaptive conformal inference: Gibbs and Candès, 2021).
 */
export function createEta(): Eta {
  const half = createFactor(0.5, 1);
  const most = createFactor(0.9, 3);
  return {
    promise(basisMs) {
      const p50Ms = basisMs * half.value();
      return { p50Ms, p90Ms: Math.max(p50Ms, basisMs * most.value()) };
    },
    served({ p50Ms, p90Ms }, waitedMs) {
      half.move(waitedMs > p50Ms);
      most.move(waitedMs > p90Ms);
    },
  };
}

/** Far enough for any load, near enough to come back from. */
const logarithmMax = Math.log(1_000);

function createFactor(quantile: number, start: number) {
  let logarithm = Math.log(start);
  return {
    value: () => Math.exp(logarithm),
    move(longer: boolean) {
      const moved = logarithm + step * (longer ? quantile : quantile - 1);
      logarithm = Math.min(logarithmMax, Math.max(-logarithmMax, moved));
    },
  };
}
