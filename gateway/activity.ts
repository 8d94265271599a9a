// What the workers tell of their slots, and the end of a request wherever it runs.
import { activityPath, cancelPath } from '@berth/shared/activity.ts';
import type { Activity } from '@berth/shared/activity.ts';
import { nobody, signCall } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { isObject } from '@berth/shared/dialects/check.ts';
import type { createAgent } from './forward.ts';
import type { Roster } from './workers/roster.ts';

export interface Workers {
  /** By the worker's origin; one that does not answer in time is left out. */
  look(): Promise<ReadonlyMap<string, Activity>>;
  /** Ends the request with this id. @returns whether some worker ran it */
  cancel(request: string): Promise<boolean>;
}

interface Options {
  roster: Pick<Roster, 'workers'>;
  agent: ReturnType<typeof createAgent>;
  /** Signs the calls. */
  secret: string;
  clock: Clock;
}

/** Who has not answered by then is shown without what it does, and asked again with the next look. */
const answerMs = 800;
/** To end a request is worth a longer wait. */
const cancelMs = 5_000;

export function createWorkers({ roster, agent, secret, clock }: Options): Workers {
  const ask = async (origin: string, method: 'GET' | 'POST', path: string, withinMs: number): Promise<unknown> => {
    const late = new AbortController();
    using _timer = clock.after(withinMs, () => late.abort());
    const headers = signCall(secret, method, path, nobody, clock.now());
    const { statusCode, body } = await agent.request({ origin, path, method, headers, signal: late.signal });
    const text = await body.text();
    return statusCode === 200 ? JSON.parse(text) : null;
  };
  /** A lane for embeddings is the same process. */
  const origins = () => [...new Set(roster.workers().map(({ url }) => url))];

  return {
    async look() {
      const asked = origins().map(async (origin): Promise<[string, Activity][]> => {
        const told = await ask(origin, 'GET', activityPath, answerMs).catch(() => null);
        return isActivity(told) ? [[origin, told]] : [];
      });
      return new Map((await Promise.all(asked)).flat());
    },
    async cancel(request) {
      const path = `${cancelPath}${encodeURIComponent(request)}`;
      const asked = origins().map((origin) => ask(origin, 'POST', path, cancelMs).catch(() => null));
      return (await Promise.all(asked)).some((told) => isObject(told) && told['cancelled'] === true);
    },
  };
}

function isActivity(told: unknown): told is Activity {
  return isObject(told) && Array.isArray(told['runs']) && told['runs'].every(isObject) && isObject(told['memory']);
}
