// `npm start`: one gateway and one worker process per GPU on this machine, kept running until Ctrl-C.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gatewaySettings, nodeOptions } from '../gateway/settings.ts';
import { SettingsError, poolSettings, readSettings } from '../shared/config.ts';
import { workerSettings } from '../worker/settings.ts';
import { keepRunning } from './child.ts';
import { get } from './get.ts';
import type { Child, Ready } from './child.ts';

const say = (line: string) => void process.stdout.write(`${line}\n`);
const script = (path: string) => fileURLToPath(new URL(path, import.meta.url));
/** The terminal shows what an operator must see; `LOG_LEVEL=info` shows each request. */
const common = { LOG_LEVEL: 'warn', ...process.env };
const readyMs = 120_000;
const lookMs = 100;

/** What one worker works with. */
interface Place {
  label: string;
  /** Settings of this worker. */
  env: Record<string, string>;
}

/** Servers that join, one worker each; the variable takes several only here. */
const upstreams = (process.env['UPSTREAM'] ?? '').split(',').filter((url) => url.trim() !== '');

function findPlaces(): Promise<Place[]> | Place[] {
  if (upstreams.length === 0) return findGpus();
  return upstreams.map((url, index) => ({ label: `upstream${index}`, env: { UPSTREAM: url.trim() } }));
}

/** Every NVIDIA GPU of this machine, or the processor when there is none. */
async function findGpus(): Promise<Place[]> {
  const asked = promisify(execFile)('nvidia-smi', ['--query-gpu=uuid', '--format=csv,noheader'], { timeout: 10_000 });
  const { stdout } = await asked.catch(() => ({ stdout: '' }));
  const uuids = stdout.split('\n').filter((line) => line.startsWith('GPU-'));
  return uuids.length === 0
    ? [{ label: 'cpu', env: {} }]
    : uuids.map((uuid, index) => ({ label: `gpu${index}`, env: { CUDA_VISIBLE_DEVICES: uuid, GPU: uuid } }));
}

function startWorker({ label, env: own }: Place, pool: Record<string, string>): Child {
  const id = `${hostname()}-${label}-${randomBytes(2).toString('hex')}`;
  const env = { ...common, ...pool, ...own, WORKER_ID: id };
  return keepRunning({ name: `worker ${id}`, script: script('../worker/start.mjs'), env, say });
}

/** Waits until a worker can be used. @throws Error when no worker can start, or none comes in time */
async function healthy(url: string, workers: readonly Child[]): Promise<void> {
  await Promise.any(workers.map(({ ready }) => ready)).catch((error: AggregateError) => {
    throw new Error(error.errors.map((one: Error) => one.message).join('\n'));
  });
  const endMs = performance.now() + readyMs;
  while (performance.now() < endMs) {
    const { status } = await get(`${url}/health`).catch(() => ({ status: 0 }));
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  throw new Error('no worker became ready: LOG_LEVEL=info npm start says more');
}

/** The first of the keys that the operator gave, when they are asked for. */
function givenKey(): string | undefined {
  const { auth, apiKeys } = readSettings(gatewaySettings, process.env);
  return auth === 'off' ? undefined : apiKeys?.[0];
}

async function welcome({ key, keyPath }: Ready, url: string): Promise<void> {
  const own = key ?? givenKey();
  const reply = await get(`${url}/api/tags`, own === undefined ? {} : { authorization: `Bearer ${own}` });
  const { models }: { models: { name: string }[] } = JSON.parse(reply.text);
  const names = models.map(({ name }) => name.replace(/:latest$/, ''));

  say(`\nBerth is ready at ${url}  (OpenAI: ${url}/v1, Ollama: ${url})`);
  say(`Models: ${names.join(', ') || 'none: put a .gguf file into MODELS_DIR'}`);
  say(`Console: ${url}/console`);
  if (names.includes('berth-demo')) {
    say(
      'berth-demo is a toy of 1 MB that comes with Berth. For a real model: MODELS_DIR=/folder/or/file.gguf npm start',
    );
  }
  // A key is shown to a person only: what is not a terminal may be a log that others read.
  const kept = process.stdout.isTTY ? key : `$(cat '${keyPath}')`;
  const shown = key === undefined ? '${API_KEY%%,*}' : kept;
  if (key !== undefined) say(process.stdout.isTTY ? `Key: ${key}` : `The key is in ${keyPath}, readable by you only.`);
  const auth = own === undefined ? '' : ` -H "Authorization: Bearer ${shown}"`;
  say(`Try:\n  curl ${url}/v1/chat/completions${auth} -H 'Content-Type: application/json' \\`);
  const model = names.find((name) => !/embed/i.test(name)) ?? 'MODEL';
  say(`    -d '{"model":"${model}","messages":[{"role":"user","content":"What is a slot?"}]}'`);
  say('Ctrl-C stops it after the running requests.');
}

/** Looks at the settings of both processes before either is started. @throws SettingsError naming every problem */
function checkSettings(): void {
  const problems = [
    () => readSettings(gatewaySettings, process.env),
    ...[upstreams[0], ...upstreams.slice(1)].map(
      (url) => () => readSettings(workerSettings, { ...process.env, UPSTREAM: url?.trim() }),
    ),
  ].flatMap((read) => problemsOf(read));
  // What both processes read is wrong only once.
  if (problems.length > 0) throw new SettingsError([...new Set(problems)]);
}

function problemsOf(read: () => unknown): readonly string[] {
  try {
    read();
    return [];
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
}

/** Wherever it came from, the processes get it by this variable. */
const ownSecret = (secret: string) => ({ CLUSTER_SECRET: secret, CLUSTER_SECRET_FILE: '' });

async function main(): Promise<void> {
  checkSettings();
  const { redisUrl, clusterSecret } = readSettings(poolSettings, process.env);
  const alone = redisUrl === null;
  const secret = clusterSecret ?? randomBytes(32).toString('hex');
  const gatewayEnv = { GATEWAY_PORT: '8080', ...common, ...(alone && ownSecret(secret)) };
  const gateway = keepRunning({
    name: 'gateway',
    script: script('../gateway/start.mjs'),
    env: gatewayEnv,
    execArgv: nodeOptions,
    say,
  });
  const workers: Child[] = [];
  const leaving = leaveWell(gateway, workers);

  try {
    const ready = await gateway.ready;
    const url = ready.url.replace(/\/\/(0\.0\.0\.0|\[::\])/, '//127.0.0.1');
    const pool: Record<string, string> = alone ? { GATEWAY_URL: url, ...ownSecret(secret) } : {};
    for (const place of await findPlaces()) workers.push(startWorker(place, pool));
    await healthy(url, workers);
    await welcome(ready, url);
  } catch (error) {
    // Ctrl-C during the start: its end is told by the one who waits for the children.
    if (leaving.asked) return;
    await Promise.all([gateway, ...workers].map((child) => child.stop()));
    throw error;
  }
}

/** First the gateway, while its streams still have workers; then the workers. A second Ctrl-C does not wait. */
function leaveWell(gateway: Child, workers: readonly Child[]): { readonly asked: boolean } {
  const leaving = { asked: false };
  const leave = async () => {
    if (leaving.asked) {
      for (const child of [gateway, ...workers]) child.kill();
      process.exit(130);
    }
    leaving.asked = true;
    say('\nStopping: running requests may finish. Ctrl-C again stops at once.');
    await gateway.stop();
    await Promise.all(workers.map((worker) => worker.stop()));
    process.exit(0);
  };
  process.on('SIGINT', () => void leave());
  process.on('SIGTERM', () => void leave());
  return leaving;
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
