// `berth up`, `gateway` and `worker`: Berth in the foreground, with its settings as options.
import { SettingsError, readSettings } from '@berth/shared/config.ts';
import type { Setting } from '@berth/shared/config.ts';
import { gatewaySettings } from '../gateway/settings.ts';
import { workerSettings } from '../worker/settings.ts';
import { Misused } from './command.ts';
import type { Command, Given, World } from './command.ts';

type Declared = Record<string, Setting<unknown>>;

const gatewayShorts = { port: 'GATEWAY_PORT', host: 'GATEWAY_HOST', redis: 'REDIS_URL' };
const workerShorts = { slots: 'NUM_PARALLEL', models: 'MODELS_DIR', context: 'CONTEXT_LENGTH', redis: 'REDIS_URL' };

export const startAll = starting({
  name: 'up',
  about: 'starts a gateway and a worker for each GPU of this machine, as "npm start" does',
  example: '  berth up --models ~/.ollama/models --slots 8',
  part: 'deploy',
  settings: [gatewaySettings, workerSettings],
  short: { ...workerShorts, ...gatewayShorts },
});

export const startGateway = starting({
  name: 'gateway',
  about: 'starts a gateway; those that share a Redis are one pool',
  example: '  berth gateway --redis redis://10.0.0.1:6379 --port 8081',
  part: 'gateway',
  settings: [gatewaySettings],
  short: gatewayShorts,
});

export const startWorker = starting({
  name: 'worker',
  about: 'starts a worker: with models of its own, or for an Ollama, llama-server, vLLM that is there already',
  example: `  berth worker --redis redis://10.0.0.1:6379 --host 10.0.0.2 --models /models --slots 8
  berth worker --redis redis://10.0.0.1:6379 --upstream http://127.0.0.1:11434 --slots 4

It joins the pool of its Redis, or of the lone gateway at GATEWAY_URL with its CLUSTER_SECRET. The slots of a server that
joins are what it is set up for, no more: OLLAMA_NUM_PARALLEL, which is 1 unless set; llama-server -np; vLLM
--max-num-seqs.`,
  part: 'worker',
  settings: [workerSettings],
  short: { ...workerShorts, id: 'WORKER_ID', key: 'UPSTREAM_KEY', port: 'WORKER_PORT', host: 'WORKER_HOST' },
  check(env) {
    if (!env['UPSTREAM'] || env['NUM_PARALLEL']) return;
    throw new Misused('--slots is needed with --upstream: how many requests the server is set up to run at once');
  },
});

interface Start {
  name: string;
  about: string;
  /** Lines of the help. */
  example: string;
  part: Parameters<World['become']>[0];
  settings: readonly Declared[];
  /** Options beside those that the settings' names give. */
  short: Record<string, string>;
  /** @throws Misused */
  check?: (env: World['env']) => void;
}

/** Every setting is an option: `NUM_PARALLEL` is `--num-parallel`. Secrets have short ones at most: others see them. */
function starting({ name, about, example, part, settings, short, check }: Start): Command {
  const declared = new Map(settings.flatMap((each) => Object.values(each).map((it) => [it.name, it])));
  const open = [...declared.values()].filter(({ secret }) => secret !== true);
  const shorts = Object.entries(short);
  const settingOf = new Map([...open.map((it) => [optionOf(it.name), it.name] as const), ...shorts]);
  const lines = [...declared.values()].flatMap((it) => {
    const others = shorts.filter(([, setting]) => setting === it.name).map(([option]) => `--${option}`);
    const all = [...others, ...(open.includes(it) ? [`--${optionOf(it.name)}`] : [])];
    return all.length === 0
      ? []
      : [`  ${all.join(', ')}\n        ${it.about} (${it.fallback ?? it.fallbackAbout ?? 'none'})`];
  });
  return {
    name,
    about,
    help: [
      example,
      '',
      'Each setting may be an option or stand in the environment; the option wins. Keep secrets in the environment, or in',
      'files (API_KEY_FILE): others see options. Ctrl-C lets running requests finish; a second one does not.',
      '',
      ...lines,
    ].join('\n'),
    options: Object.fromEntries([...settingOf.keys()].map((option) => [option, { type: 'string' as const }])),
    words: [],
    async run({ options }, world) {
      const asked = given(options, settingOf);
      const env = { ...world.env, ...asked };
      check?.(env);
      checkSettings(settings, env);
      await world.become(part, asked);
    },
  };
}

function optionOf(setting: string): string {
  return setting.toLowerCase().replaceAll('_', '-');
}

function given(options: Given['options'], settingOf: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(options).map(([option, value]) => [settingOf.get(option) ?? option, String(value)]),
  );
}

/** @throws Misused naming everything that is wrong */
function checkSettings(settings: readonly Declared[], env: Record<string, string | undefined>): void {
  const problems = settings.flatMap((each) => {
    try {
      readSettings(each, env);
      return [];
    } catch (error) {
      if (error instanceof SettingsError) return error.problems;
      throw error;
    }
  });
  if (problems.length > 0) throw new Misused([...new Set(problems)].join('\n'));
}
