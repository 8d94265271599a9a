// Joined servers in a pool under kill -9. `npm run proof:upstream` does the same with real llama-servers and more load.
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { buildPeer, startPeer } from '../bench/engine/peer.ts';
import type { Server } from '../bench/engine/peer.ts';
import { startUpstream } from '../doubles/upstream.ts';
import { longModel, longText } from './berth.ts';
import { killAndCount, slots } from './upstreams.ts';
import type { Box, Load } from './upstreams.ts';

const real = process.env['UPSTREAMS'] === 'llama-server';
const load: Load = real ? { requests: 1_500, clients: 24, tokens: 400 } : { requests: 100, clients: 16, tokens: 40 };

async function doubled(kind: 'ollama' | 'vllm'): Promise<Box> {
  const says = longText.split(/(?= )/);
  const server = await startUpstream({ kind, models: ['long'], behaviour: { says, tokenMs: 3 } });
  return {
    url: server.url,
    kill: server.vanish,
    restart: server.comeBack,
    [Symbol.asyncDispose]: server[Symbol.asyncDispose],
  };
}

async function llamaServer(model: string): Promise<Box> {
  const begin = () => startPeer(model, slots, 2_048);
  let server: Server = await begin();
  return {
    get url() {
      return `http://127.0.0.1:${server.port}`;
    },
    kill: async () => await server[Symbol.asyncDispose](),
    restart: async () => void (server = await begin()),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

test(
  'no server ever gets more than its slots, and every request ends exactly once, whoever is killed',
  async () => {
    if (real) buildPeer();
    await using models = await longModel();
    const model = join(models.path, 'long.gguf');
    await using first = real ? await llamaServer(model) : await doubled('ollama');
    await using second = real ? await llamaServer(model) : await doubled('vllm');
    const outcome = await killAndCount([first, second], inject('redisUrl'), load);
    if (real) console.log(JSON.stringify(outcome));
    const { whole, error, left, lost } = outcome.endings;
    expect(whole + error + left + lost).toBe(load.requests);
    expect(outcome.most).toEqual([slots, slots]);
    // Once more, when the first died before its first byte.
    expect(outcome.runsMax).toBeLessThanOrEqual(2);
    expect(whole).toBeGreaterThan(load.requests * 0.7);
  },
  real ? 1_500_000 : 120_000,
);
