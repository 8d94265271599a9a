// What this worker takes for its work, as measured: the load of a model, the speed of its answers, how much it is used.
import type { Clock } from '@berth/shared/clock.ts';
import type { Settlement } from '@berth/shared/settlement.ts';

export interface Pace {
  loaded(model: string, loadMs: number, sizeBytes: number): void;
  settled(model: string, settlement: Settlement, sizeBytes: number): void;
  /** How many requests use each loaded model now: asked at each beat. */
  sampled(users: ReadonlyMap<string, number>): void;
  /** Expected time of a load, ms: measured, else by the size of the file as others were; `null` = nothing is known. */
  loadMs(model: string, sizeBytes: number): number | null;
  /** Tokens that one answer gets in a second; `null` = none was seen. */
  tokensPerS(model: string): number | null;
  /** Requests that used the model at any moment of about the last minute, on average; a tenth is the least. */
  heat(model: string): number;
  /** Bytes of weights that the device reads in a second of decoding, in millions: what tells unequal GPUs apart. */
  speed(): number | null;
}

/** How far one measurement moves what is known. */
const learning = 0.3;
/** A machine that was busy with something else looks slow for a moment; what it has shown once it can do again. */
const slower = 0.05;
/** Fewer tokens tell more about the first step than about the speed. */
const tokensMin = 8;
const heatMs = 60_000;
/** Models come and go with files; what was measured of so many is kept. */
const modelsMax = 1_000;

interface Known {
  loadMs: number | null;
  tokensPerS: number | null;
  heat: number;
}

export function createPace(clock: Pick<Clock, 'monotonic'>): Pace {
  const models = new Map<string, Known>();
  let bytesPerMs: number | null = null;
  let speed: number | null = null;
  let sampledMs = clock.monotonic();

  const known = (model: string): Known => {
    const found = models.get(model) ?? { loadMs: null, tokensPerS: null, heat: 0 };
    if (models.size < modelsMax) models.set(model, found);
    return found;
  };
  const moved = (old: number | null, seen: number, share = learning) =>
    old === null ? seen : old + share * (seen - old);

  return {
    loaded(model, loadMs, sizeBytes) {
      const it = known(model);
      it.loadMs = moved(it.loadMs, loadMs);
      bytesPerMs = moved(bytesPerMs, sizeBytes / Math.max(1, loadMs));
    },
    settled(model, { outputTokens, decodeMs }, sizeBytes) {
      if (outputTokens < tokensMin || decodeMs <= 0) return;
      const tokensPerS = (outputTokens * 1_000) / decodeMs;
      const it = known(model);
      it.tokensPerS = moved(it.tokensPerS, tokensPerS);
      const seen = (tokensPerS * sizeBytes) / 1e6;
      speed = moved(speed, seen, seen > (speed ?? 0) ? learning : slower);
    },
    sampled(users) {
      const passedMs = clock.monotonic() - sampledMs;
      sampledMs = clock.monotonic();
      const share = 1 - Math.exp(-passedMs / heatMs);
      for (const model of users.keys()) known(model);
      for (const [model, it] of models) it.heat = moved(it.heat, users.get(model) ?? 0, share);
    },
    loadMs(model, sizeBytes) {
      const measured = models.get(model)?.loadMs ?? null;
      if (measured !== null) return Math.round(measured);
      return bytesPerMs === null ? null : Math.round(sizeBytes / bytesPerMs);
    },
    tokensPerS: (model) => rounded(models.get(model)?.tokensPerS ?? null),
    heat: (model) => Math.round((models.get(model)?.heat ?? 0) * 10) / 10,
    speed: () => rounded(speed),
  };
}

/** Two digits: each change is a new announcement, which every gateway reads. */
function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toPrecision(2));
}
