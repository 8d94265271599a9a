// What a seed is made of: a pool, its load and its faults.
import { chanceFrom } from '../models/chance.ts';
import { drawFaults, type TimedFault } from './faults.ts';
import type { GatewayLimits } from './gateway.ts';
import { drawLoad, type Work } from './load.ts';
import type { WorkerSettings } from './worker.ts';

export interface Plan {
  gateways: number;
  workers: WorkerSettings[];
  limits: GatewayLimits;
  load: Work[];
  faults: TimedFault[];
}

/** A pool, a load and at least three faults, all from the seed. */
export function drawPlan(seed: number): Plan {
  const chance = chanceFrom(seed);
  const overMs = chance.between(8_000, 16_000);
  const models = ['small', 'large', 'rare'].slice(0, chance.between(1, 3));
  const gateways = chance.between(3, 4);
  const workers = Array.from({ length: chance.between(2, 5) }, (_, at) => ({
    id: `w${at + 1}`,
    slots: chance.between(1, 4),
    // The first serves everything, so that no model is nobody's.
    serves: at === 0 ? models : chance.some(models, chance.between(1, models.length)),
    slowness: chance.happens(0.2) ? 3 : 1,
  }));
  const slots = workers.reduce((sum, worker) => sum + worker.slots, 0);
  const jobs = chance.between(200, 240);
  const load = chance.pick([0.4, 0.8, 1.2, 2]);
  const limits = {
    waitingMax: chance.pick([4, 16, 512]),
    waitingPerKeyMax: chance.pick([8, 128]),
    queueTimeoutMs: chance.pick([2_000, 20_000]),
  };
  const meanMs = (load * slots * overMs) / jobs;
  const faults = chance.between(3, 7);
  return {
    gateways,
    workers,
    limits,
    load: drawLoad(chance, { jobs, overMs, models, meanMs, teams: chance.between(1, 4) }),
    faults: drawFaults(chance, { faults, gateways, workers: workers.length, overMs }),
  };
}
