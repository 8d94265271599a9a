// The worker process: the only place that knows the environment, the clock and the signals.
import { existsSync, rmSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { availableParallelism, hostname, networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { randomBytes } from 'node:crypto';
import { poolSecret } from '@berth/shared/auth.ts';
import { systemClock } from '@berth/shared/clock.ts';
import { readSettings } from '@berth/shared/config.ts';
import type { WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import { createLog, formatFor } from '@berth/shared/log.ts';
import type { Log } from '@berth/shared/log.ts';
import { batchedWriter, refuseToStart, toldToLeave } from '@berth/shared/process.ts';
import { systemRandom } from '@berth/shared/random.ts';
import { readCertificate, tlsFiles } from '@berth/shared/tls.ts';
import { deviceName } from './device.ts';
import { gpuNames, gpuReader } from './gpu.ts';
import type { EngineOptions, OpenEngine, PromptCacheOptions } from './engine/engine.ts';
import { createHttpLedger } from './ledger-http.ts';
import { createChecker } from './models/checker.ts';
import { realDisk } from './pull/layer.ts';
import { openPromptFolder } from './prompt-folder.ts';
import manifest from './package.json' with { type: 'json' };
import { workerSettings } from './settings.ts';
import type { Gpu, WorkerSettings } from './settings.ts';
import type { JoinedOptions } from './upstream/joined.ts';
import { startWorker } from './worker.ts';
import type { Worker } from './worker.ts';

async function main(): Promise<void> {
  // Heard from the first moment on: a signal that comes while the worker starts must not end it half-way.
  const leaving = toldToLeave();
  const settings = readSettings(workerSettings, process.env);
  const write = batchedWriter(process.stdout);
  const format = formatFor(settings.logFormat, process.stdout.isTTY, Boolean(process.env['NO_COLOR']));
  const log = createLog({ source: 'worker', level: settings.logLevel, format, clock: systemClock, write });
  const { ledger, secret } = await openLedger(settings, log);
  const tls = tlsFiles(settings.tlsCert, settings.tlsKey, 'WORKER_TLS');
  const common = {
    ...settings,
    id: settings.workerId ?? `${hostname()}-${systemRandom.id().slice(0, 4)}`,
    url: (port: number) =>
      settings.advertisedUrl ?? `${tls === null ? 'http' : 'https'}://${reachable(settings.host)}:${port}`,
    secret,
    tls: tls && { files: tls, first: await readCertificate(tls) },
    version: manifest.version,
    ledger,
    clock: systemClock,
    random: systemRandom,
    log,
    onStale: () => process.exit(3),
  };
  const starting =
    settings.upstream === null ? startOwn(settings, common, log) : startJoinedTo(settings.upstream, settings, common);
  const worker = await starting.catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') throw error;
    throw new Error(
      `port ${settings.port} on ${settings.host} is in use by another program: stop it, or set WORKER_PORT to another port (0 = any free one)`,
    );
  });

  log.info('listening', { url: worker.url, epoch: worker.epoch });
  process.send?.({ ready: true, url: worker.url });
  const why = await leaving;
  log.info('draining', { why });
  await worker.drain(settings.drainTimeoutMs);
  process.exit(0);
}

type Common = Omit<JoinedOptions, 'upstream' | 'key' | 'slots' | 'silenceMs'>;

/** The server's own process has the models: none of ours is loaded. */
async function startJoinedTo(upstream: string, settings: WorkerSettings, common: Common): Promise<Worker> {
  const { startJoined } = await import('./upstream/joined.ts');
  const { upstreamKey: key, numParallel: slots, upstreamSilenceMs: silenceMs } = settings;
  return await startJoined({ ...common, upstream, key, slots, silenceMs });
}

async function startOwn(settings: WorkerSettings, common: Common, log: Log): Promise<Worker> {
  if (settings.gpu.devices !== null) {
    process.env['CUDA_VISIBLE_DEVICES'] = settings.gpu.devices;
    process.env['CUDA_DEVICE_ORDER'] ??= 'PCI_BUS_ID'; // the numbers that nvidia-smi shows; CUDA's own go by speed
  }
  const gpu = chooseGpu(settings.gpu.kind);
  const promptCache = settings.engine === 'llama' ? await openPrompts(settings.promptCacheBytes, log) : null;
  const checker = createChecker({ clock: systemClock });
  return await startWorker({
    ...settings,
    ...common,
    device: deviceName(gpu, settings.gpu.devices, await nvidiaFacts()),
    pull: { hosts: settings.pullHosts, hubUrl: settings.hubUrl, disk: realDisk },
    ownGpus: await gpuNames(settings.gpu.devices),
    gpus: gpu === 'cuda' ? gpuReader(settings.gpu.devices, systemClock) : async () => [],
    engine: {
      contextTokens: settings.contextTokens,
      slots: settings.numParallel,
      threads: settings.threads || Math.max(1, Math.floor(availableParallelism() / 2)),
      gpu,
      promptCache,
    },
    demoPath: fileURLToPath(new URL('./models/demo/berth-demo.gguf', import.meta.url)),
    check: checker.check,
    wholeFacts: checker.wholeFacts,
    open: await engineOf(settings.engine, log),
  });
}

/** Redis when there is one, with the pool's secret in it unless it was given; else the lone gateway's ledger. */
async function openLedger(settings: WorkerSettings, log: Log): Promise<{ ledger: WorkerLedger; secret: string }> {
  const { redisUrl, pool, clusterSecret, gatewayUrl } = settings;
  const fresh = () => randomBytes(32).toString('hex');
  if (redisUrl !== null) {
    // Loaded only where Redis is used.
    const { connectRedis } = await import('@berth/shared/redis.ts');
    const { createRedisLedger } = await import('@berth/shared/ledger/redis.ts');
    const redis = await connectRedis({ url: redisUrl, pool, log });
    const ledger = await createRedisLedger({ redis, pool });
    const secret = clusterSecret ?? (await poolSecret({ store: redis, pool, fresh, clock: systemClock, log }));
    return { ledger, secret };
  }
  if (clusterSecret === null) {
    throw new Error(
      'without REDIS_URL the worker needs CLUSTER_SECRET, the same as the gateway at GATEWAY_URL has: set both, or use "npm start"',
    );
  }
  return {
    ledger: createHttpLedger({ url: gatewayUrl, secret: clusterSecret, clock: systemClock }),
    secret: clusterSecret,
  };
}

async function engineOf(engine: WorkerSettings['engine'], log: Log): Promise<OpenEngine> {
  if (engine === 'echo') return (await import('./engine/echo.ts')).echoEngines(systemClock).open;
  const { llamaEngines } = await import('./engine/llama/open.ts');
  return llamaEngines({ env: process.env, note: (said) => log.info('an engine says', { said }) });
}

/** The folder goes with the process, however that ends short of a kill; the next life clears what a kill leaves. */
async function openPrompts(bytesMax: number, log: Log): Promise<PromptCacheOptions | null> {
  const places = process.platform === 'linux' ? ['/dev/shm', tmpdir()] : [tmpdir()];
  const opened = await openPromptFolder({ places, bytesMax, memoryFreeBytes: process.availableMemory(), log });
  if (opened !== null) process.once('exit', () => rmSync(opened.folder, { recursive: true, force: true }));
  return opened;
}

/** What `auto` means here: NVIDIA's driver, Apple's chips, else the processor. */
function chooseGpu(kind: Gpu['kind']): EngineOptions['gpu'] {
  if (kind !== 'auto') return kind;
  if (process.platform === 'darwin' && process.arch === 'arm64') return 'metal';
  return existsSync('/proc/driver/nvidia/version') ? 'cuda' : false;
}

/** What NVIDIA's driver says of each GPU; nothing without one. */
async function nvidiaFacts(): Promise<string[]> {
  const folder = '/proc/driver/nvidia/gpus';
  const gpus = await readdir(folder).catch(() => []);
  return Promise.all(gpus.map((gpu) => readFile(join(folder, gpu, 'information'), 'utf8').catch(() => '')));
}

/** A host that others can call: a worker that listens everywhere tells its first address in the network. */
function reachable(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host.includes(':') ? `[${host}]` : host;
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? hostname();
}

main().catch(refuseToStart);
