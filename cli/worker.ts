// `berth worker`: a worker in this process, with engines of its own or for a server that joins.
import { Misused } from './command.ts';
import type { Command } from './command.ts';

/** Options, and the settings that they stand for. */
const settings = {
  upstream: 'UPSTREAM',
  key: 'UPSTREAM_KEY',
  slots: 'NUM_PARALLEL',
  id: 'WORKER_ID',
  models: 'MODELS_DIR',
  host: 'WORKER_HOST',
  port: 'WORKER_PORT',
} as const;

export const startWorker: Command = {
  name: 'worker',
  about: 'starts a worker: with models of its own, or for an Ollama, llama-server, vLLM that is there already',
  help: `  --upstream URL   the server that joins, such as http://box:11434
  --slots N        requests that run at once. Of a server that joins: what it is set up for, no more
                   (OLLAMA_NUM_PARALLEL, which is 1 unless set; llama-server -np; vLLM --max-num-seqs)
  --key KEY        what the server wants as a bearer token; UPSTREAM_KEY keeps it out of the list of processes
  --id NAME        its name in the pool
  --models FOLDER  model files of its own, without --upstream
  --host, --port   where gateways reach it

The pool's settings come from the environment: REDIS_URL, or GATEWAY_URL and CLUSTER_SECRET of a lone gateway.`,
  options: Object.fromEntries(Object.keys(settings).map((name) => [name, { type: 'string' as const }])),
  words: [],
  async run({ options }, world) {
    if (options['upstream'] !== undefined && options['slots'] === undefined && !world.env['NUM_PARALLEL']) {
      throw new Misused('--slots is needed with --upstream: how many requests the server is set up to run at once');
    }
    const given = Object.entries(settings).flatMap(([option, name]) => {
      const value = options[option];
      return typeof value === 'string' ? [[name, value]] : [];
    });
    await world.become('worker', Object.fromEntries(given));
  },
};
