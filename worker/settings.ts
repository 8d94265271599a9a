// The worker's settings.
import {
  bytes,
  choice,
  duration,
  goDurationMs,
  integer,
  optional,
  poolSettings,
  setting,
  text,
  url,
} from '@berth/shared/config.ts';
import type { Settings } from '@berth/shared/config.ts';
import { parsePullHosts } from './pull/hosts.ts';

export const workerSettings = {
  numParallel: setting({
    name: 'NUM_PARALLEL',
    aliases: ['OLLAMA_NUM_PARALLEL'],
    about: 'Slots of a worker: requests that it runs at once, over all its models.',
    fallback: '4',
    parse: integer(1, 256),
  }),
  upstream: optional({
    name: 'UPSTREAM',
    about:
      'A server that joins as this worker instead of engines of our own: an Ollama, llama-server, vLLM or other OpenAI-compatible one, such as `http://box:11434`. NUM_PARALLEL is what it runs at once.',
    fallbackAbout: 'engines of our own',
    parse: (value) => url('http', 'https')(value).replace(/\/v1$/, ''),
  }),
  upstreamKey: optional({
    name: 'UPSTREAM_KEY',
    about: 'Key that the joined server wants, as a bearer token.',
    secret: true,
    parse: text,
  }),
  upstreamSilenceMs: setting({
    name: 'UPSTREAM_SILENCE',
    about: 'Longest silence in an answer of the joined server, its first token included: then it is cut with an error.',
    fallback: '5m',
    parse: duration(1_000, 24 * 3_600_000),
  }),
  embedParallel: setting({
    name: 'EMBED_PARALLEL',
    about: 'Slots of a worker for embeddings, in a lane of their own: they never take one of NUM_PARALLEL.',
    fallback: '2',
    parse: integer(1, 64),
  }),
  loadedMax: setting({
    name: 'MAX_LOADED_MODELS',
    aliases: ['OLLAMA_MAX_LOADED_MODELS'],
    about: 'Models that a worker keeps loaded at once.',
    fallback: '3',
    parse: integer(1, 64),
  }),
  keepAliveMs: setting({
    name: 'KEEP_ALIVE',
    aliases: ['OLLAMA_KEEP_ALIVE'],
    about: 'How long an idle model stays loaded: a duration, seconds, 0 = not at all, negative = for ever.',
    fallback: '5m',
    parse: keepAlive,
  }),
  contextTokens: setting({
    name: 'CONTEXT_LENGTH',
    aliases: ['OLLAMA_CONTEXT_LENGTH'],
    about: 'Tokens of one slot, prompt and answer together; a model never gets more than it was trained for.',
    fallback: '4096',
    parse: integer(64, 16_777_216),
  }),
  modelsDir: optional({
    name: 'MODELS_DIR',
    about:
      'Folder with .gguf files, folders in it included; a folder in which Ollama keeps its models, such as `~/.ollama/models`; or one .gguf file.',
    fallbackAbout: 'the demo model',
    parse: text,
  }),
  pullHosts: setting({
    name: 'PULL_HOSTS',
    about:
      'Hosts from which models may be pulled (`/api/pull`), separated by commas, `http://` before one without TLS; `none` = none. Redirects may lead to any public address, to a private one only when it is named here.',
    fallback: 'registry.ollama.ai,huggingface.co',
    parse: parsePullHosts,
  }),
  hubUrl: setting({
    name: 'HF_ENDPOINT',
    about: 'The hub behind `hf.co/owner/repo:quant`: Hugging Face, or a mirror that `PULL_HOSTS` names too.',
    fallback: 'https://huggingface.co',
    parse: url('http', 'https'),
  }),
  workerId: optional({
    name: 'WORKER_ID',
    about: 'Name of this worker in the pool.',
    fallbackAbout: 'host name and chance',
    parse: (value) => {
      if (!/^[A-Za-z0-9._-]{1,64}$/.test(value)) throw new Error('must be 1 to 64 letters, digits, dots or dashes');
      return value;
    },
  }),
  host: setting({
    name: 'WORKER_HOST',
    about: 'Address that the worker listens on. Only gateways of the pool are answered.',
    fallback: '127.0.0.1',
    parse: text,
  }),
  port: setting({
    name: 'WORKER_PORT',
    about: 'Port that the worker listens on; 0 takes any free one.',
    fallback: '0',
    parse: integer(0, 65_535),
  }),
  advertisedUrl: optional({
    name: 'WORKER_URL',
    about: 'Origin at which gateways reach this worker, such as `http://10.0.0.7:9401`.',
    fallbackAbout: 'the address and port it listens on',
    parse: url('http', 'https'),
  }),
  tlsCert: optional({
    name: 'WORKER_TLS_CERT',
    about:
      'PEM file with the certificate of the host in WORKER_URL: gateways then reach this worker by HTTPS. A renewed one is taken within 10 s.',
    fallbackAbout: 'plain HTTP',
    parse: text,
  }),
  tlsKey: optional({
    name: 'WORKER_TLS_KEY',
    about: 'PEM file with the private key of `WORKER_TLS_CERT`.',
    fallbackAbout: 'plain HTTP',
    parse: text,
  }),
  gpu: setting({
    name: 'GPU',
    about: '`auto`, `cpu`, `cuda`, `metal`, `vulkan`, or which NVIDIA GPUs: numbers or UUIDs, separated by commas.',
    fallback: 'auto',
    parse: gpu,
  }),
  threads: setting({
    name: 'THREADS',
    about:
      'Threads on the processor, shared by the loaded models; 0 = half of the cores, which is best where cores are shared.',
    fallback: '0',
    parse: integer(0, 1_024),
  }),
  promptCacheBytes: setting({
    name: 'PROMPT_CACHE_BYTES',
    about: 'Memory for prompts that have lost their slot, as files in `/dev/shm` or the temporary folder; 0 = none.',
    fallback: '1GiB',
    parse: bytes(0, 2 ** 40),
  }),
  gatewayUrl: setting({
    name: 'GATEWAY_URL',
    about: 'The lone gateway that keeps the ledger when there is no Redis.',
    fallback: 'http://127.0.0.1:8080',
    parse: url('http', 'https'),
  }),
  engine: setting({
    name: 'ENGINE',
    about: '`llama` runs models; `echo` repeats what it is told, for tests of a deployment.',
    fallback: 'llama',
    parse: choice('llama', 'echo'),
  }),
  ...poolSettings,
};

export type WorkerSettings = Settings<typeof workerSettings>;

export interface Gpu {
  kind: 'auto' | 'cuda' | 'metal' | 'vulkan' | false;
  /** What CUDA_VISIBLE_DEVICES shall be; `null` = as it is. */
  devices: string | null;
}

/** Ollama's grammar: a Go duration or whole seconds; anything negative is for ever. */
function keepAlive(value: string): number {
  const ms = /^[+-]?\d+$/.test(value.trim()) ? Number(value) * 1_000 : goDurationMs(value);
  if (Number.isNaN(ms)) throw new Error('must be a duration such as 5m or 1h30m, seconds, 0, or -1 for ever');
  return ms < 0 ? Number.POSITIVE_INFINITY : ms;
}

function gpu(value: string): Gpu {
  const kind = value.toLowerCase();
  if (kind === 'cpu' || kind === 'none' || kind === 'off') return { kind: false, devices: null };
  if (kind === 'auto' || kind === 'cuda' || kind === 'metal' || kind === 'vulkan') return { kind, devices: null };
  if (/^(\d+|(GPU|MIG)-[\w/-]+)(,(\d+|(GPU|MIG)-[\w/-]+))*$/.test(value)) return { kind: 'cuda', devices: value };
  throw new Error('must be auto, cpu, cuda, metal, vulkan, or NVIDIA GPUs such as 0 or 0,1');
}
