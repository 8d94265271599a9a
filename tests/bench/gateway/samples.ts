// One sample of each kind: what is done, what is read from the meters before and after.
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuNs, residentBytes, watchOthers } from './meter.ts';
import type { Noise } from './meter.ts';
import { openStreams } from './streams.ts';
import type { Stage, Target, TargetName } from './targets.ts';
import type { Wrk } from './wrk.ts';

interface Sampled extends Noise {
  target: TargetName;
}

export interface RequestSample extends Sampled {
  connections: number;
  requests: number;
  failed: number;
  perS: number;
  /** Microseconds of a processor per request: the gateway's, Redis's and the fake worker's. */
  gatewayUs: number | null;
  redisUs: number;
  workerUs: number;
  p50Us: number;
  p99Us: number;
}

/** Closed loop: each connection sends its next request when it has the reply. */
export async function sampleRequests(
  stage: Stage,
  target: Target,
  wrk: Wrk,
  connections: number,
  seconds: number,
): Promise<RequestSample> {
  const noise = watchOthers();
  const cpu = startMeters(stage, target);
  const { requests, durationUs, failed, p50Us, p99Us } = await wrk(target.port, connections, seconds);
  const used = cpu(requests);
  const perS = requests / (durationUs / 1e6);
  return { target: target.name, connections, requests, failed, perS, ...used, p50Us, p99Us, ...noise() };
}

/** Begins to measure; the result ends it and tells the microseconds for each of `count` things. */
function startMeters(stage: Stage, target: Target) {
  const read = () => [target.pid, stage.redisPid, stage.workerPid].map((pid) => (pid === null ? null : cpuNs(pid)));
  const before = read();
  return (count: number) => {
    const [gatewayUs, redisUs, workerUs] = read().map((ns, index) =>
      ns === null ? null : (ns - (before[index] ?? 0)) / 1_000 / Math.max(1, count),
    );
    return { gatewayUs: gatewayUs ?? null, redisUs: redisUs ?? 0, workerUs: workerUs ?? 0 };
  };
}

export interface ChunkSample extends Sampled {
  streams: number;
  /** Chunks a second over all streams: asked of the worker, and what arrived. */
  offeredPerS: number;
  perS: number;
  gatewayUs: number | null;
  redisUs: number;
  workerUs: number;
  /** From the worker's write to the client's read. */
  p50Us: number;
  p99Us: number;
  failed: number;
}

export interface ChunkLoad {
  streams: number;
  chunksPerS: number;
  warmSeconds: number;
  seconds: number;
}

/** Open loop: the worker writes at a given rate, whatever the gateway makes of it. */
export async function sampleChunks(stage: Stage, target: Target, load: ChunkLoad): Promise<ChunkSample> {
  await using streams = openStreams(target.port);
  await streams.add(load.streams);
  stage.pace(load.chunksPerS);
  await sleep(load.warmSeconds * 1_000);
  const noise = watchOthers();
  const cpu = startMeters(stage, target);
  const startMs = performance.now();
  streams.reset();
  await sleep(load.seconds * 1_000);
  const { chunks } = streams;
  const used = cpu(chunks);
  const perS = chunks / ((performance.now() - startMs) / 1_000);
  const others = noise();
  stage.pace(0);
  return {
    target: target.name,
    streams: streams.open,
    offeredPerS: load.chunksPerS,
    perS,
    ...used,
    p50Us: streams.latencyUs(0.5),
    p99Us: streams.latencyUs(0.99),
    failed: streams.failed,
    ...others,
  };
}

export interface MemorySample extends Sampled {
  /** Resident memory of the gateway by open streams, the first with none. */
  levels: { streams: number; residentBytes: number }[];
  failed: number;
}

/** Each stream carries one chunk a second. Kernel memory (sockets) is nobody's resident memory and not in it. */
export async function sampleMemory(
  stage: Stage,
  target: Target,
  counts: readonly number[],
  settleSeconds: number,
): Promise<MemorySample> {
  const pid = target.pid ?? stage.workerPid;
  await sleep(settleSeconds * 1_000);
  const noise = watchOthers();
  const levels = [{ streams: 0, residentBytes: residentBytes(pid) }];
  await using streams = openStreams(target.port);
  for (const count of counts) {
    await streams.add(count - streams.open);
    stage.pace(count);
    await sleep(settleSeconds * 1_000);
    levels.push({ streams: streams.open, residentBytes: residentBytes(pid) });
  }
  stage.pace(0);
  return { target: target.name, levels, failed: streams.failed, ...noise() };
}
