// What runs in the slots, for people: who, how far; and where an administrator ends it.
import type { Activity, Memory, Phase, Run } from '@berth/shared/activity.ts';
import type { Call } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { createCrowd } from '@berth/shared/crowd.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { EngineEvent } from './engine/engine.ts';
import type { ReadGpus } from './gpu.ts';
import { readHost } from './host.ts';
import type { Slots } from './slots.ts';

/** One request in its slot; whoever runs it writes down how far it is. */
export interface Progress extends Disposable {
  /** Its model is there. @param outputMax most tokens of all its answers; `null` = as many as fit */
  loaded(outputMax: number | null): void;
  note(event: EngineEvent): void;
  /** Aborts with a refusal when an administrator ends it. */
  readonly signal: AbortSignal;
}

export interface ActivityLog {
  begin(who: { request: string; call: Call; slot: number; slots: Slots }): Progress;
  runs(): Run[];
  /** Ends the request with this id. @returns whether it ran here */
  cancel(request: string): boolean;
}

/** @param embedSlots those of the lane for embeddings, if there is one */
export function createActivityLog(clock: Pick<Clock, 'monotonic'>, embedSlots?: Slots): ActivityLog {
  const inside = createCrowd<{ run: () => Run; end: () => void }>();
  return {
    begin({ request, call: { model, owner }, slot, slots }) {
      const embeds = slots === embedSlots;
      const { team, key } = owner;
      const sinceMs = clock.monotonic();
      const ended = new AbortController();
      let phase: Phase = 'load';
      const counts = { promptTokens: 0, cachedTokens: 0, outputTokens: 0, outputMax: null as number | null };
      const run = (): Run => {
        const seconds = Math.round((clock.monotonic() - sinceMs) / 100) / 10;
        return { request, model, team, key, slot, embeds, phase, seconds, ...counts };
      };
      const end = () => ended.abort(new Refusal('cancelled', 'an administrator ended this request'));
      const place = inside.add({ run, end });
      return {
        signal: ended.signal,
        loaded(outputMax) {
          phase = 'prefill';
          counts.outputMax = outputMax;
        },
        note(event) {
          if (event.kind === 'started') {
            counts.promptTokens += event.promptTokens;
            counts.cachedTokens += event.cachedTokens;
          }
          if (event.kind !== 'text') return;
          phase = 'decode';
          counts.outputTokens += event.tokens;
        },
        [Symbol.dispose]: () => place[Symbol.dispose](),
      };
    },
    runs: () => [...inside].map(({ run }) => run()),
    cancel(request) {
      const its = [...inside].filter(({ run }) => run().request === request);
      for (const { end } of its) end();
      return its.length > 0;
    },
  };
}

/** @param device `cpu`, or the GPU's name */
export async function lookAt(log: ActivityLog, device: string, gpus: ReadGpus): Promise<Activity> {
  return { runs: log.runs(), memory: device === 'cpu' ? memoryOfHost() : await memoryOf(gpus) };
}

function memoryOfHost(): Memory {
  const { memoryBytes, memoryFreeBytes } = readHost();
  return { bytes: memoryBytes, usedBytes: Math.max(0, memoryBytes - memoryFreeBytes), utilization: null };
}

/** Of several GPUs the sum, and the mean of what they do. */
async function memoryOf(gpus: ReadGpus): Promise<Memory> {
  const all = await gpus();
  const sum = (values: (number | null)[]) =>
    all.length === 0 || values.includes(null) ? null : values.reduce<number>((total, it) => total + (it ?? 0), 0);
  const busy = sum(all.map(({ utilization }) => utilization));
  return {
    usedBytes: sum(all.map(({ memoryUsedBytes }) => memoryUsedBytes)),
    bytes: sum(all.map(({ memoryBytes }) => memoryBytes)),
    utilization: busy === null ? null : busy / all.length,
  };
}
