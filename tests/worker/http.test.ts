// The server alone, with its parts in the test's hands: when a slot is free, and who may scrape.
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { ServerResponse, request } from 'node:http';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { nobody, signCall } from '@berth/shared/auth.ts';
import { systemClock } from '@berth/shared/clock.ts';
import { silentLog } from '@berth/shared/log.ts';
import { systemRandom } from '@berth/shared/random.ts';
import { echoEngines } from '../../worker/engine/echo.ts';
import { engineHandlers } from '../../worker/generate.ts';
import type { Kit } from '../../worker/generate.ts';
import { createActivityLog, lookAt } from '../../worker/activity.ts';
import { createWorkerServer } from '../../worker/http.ts';
import { createMetrics } from '../../worker/metrics.ts';
import { createCatalog } from '../../worker/models/catalog.ts';
import { createResidency } from '../../worker/models/residency.ts';
import { createSolitude } from '../../worker/models/solitude.ts';
import type { ShowKit } from '../../worker/show.ts';
import { createSlots } from '../../worker/slots.ts';
import { createStanding } from '../../worker/standing.ts';
import { createWatchdog } from '../../worker/watchdog.ts';
import { chat } from './a-worker.ts';
import { gguf } from './gguf-file.ts';
import { readGguf, readWholeFacts } from '../../worker/models/gguf.ts';

const secret = 'the secret of the tests';
const slots = createSlots(1, 'e1');
let folder = '';
let url = '';
const servers: Server[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-order-'));
  await writeFile(join(folder, 'm.gguf'), gguf());
  const common = { clock: systemClock, log: silentLog, random: systemRandom };
  const kit: Kit & ShowKit = {
    ...common,
    slots,
    embedSlots: createSlots(1, 'e1'),
    catalog: createCatalog({ ...common, modelsDir: folder, demoPath: '', check: readGguf }),
    residency: createResidency({
      ...common,
      open: echoEngines(systemClock).open,
      engine: { contextTokens: 512, slots: 1, threads: 1, gpu: false },
      loadedMax: 1,
      keepAliveMs: 60_000,
      onEvent: () => undefined,
    }),
    solitude: createSolitude({ clock: systemClock, onChange: () => undefined }),
    watchdog: createWatchdog(systemClock),
    activity: createActivityLog(systemClock),
    ledger: { beat: async () => ({ kind: 'ok', added: 0, dropped: 0, order: null }), leave: async () => 'gone' },
    metrics: createMetrics({
      version: '0',
      worker: 'w',
      device: 'cpu',
      loadedMax: 1,
      gpus: async () => [],
      clock: systemClock,
    }),
    prefixes: { began: () => undefined },
    cut: new AbortController().signal,
    onNews: () => undefined,
    engine: { contextTokens: 512 },
    wholeFacts: readWholeFacts,
    problems: () => [],
  };
  const standing = createStanding({ unload: () => undefined, rest: slots.rest, onChange: () => undefined });
  const look = () => lookAt(kit.activity, 'cpu', async () => []);
  const options = { ...kit, secret, look, handlers: engineHandlers(kit), standing, epoch: 'e1' };
  const [over, beside] = [createWorkerServer(options), createWorkerServer(options)];
  servers.push(over, beside);
  await once(over.listen(0, '127.0.0.1'), 'listening');
  await once(beside.listen(join(folder, 'socket')), 'listening');
  const address = over.address();
  url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
});
afterAll(async () => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  await rm(folder, { recursive: true, force: true });
});

describe('the slot is free before the last byte is written of', () => {
  it.each([
    ['a stream', chat('hello you', { stream: true }), 200],
    ['a whole reply', chat('hello you'), 200],
    ['a refusal', chat('hello you', { temperature: 99 }), 400],
    ['a failure', chat('[[dieAfterTokens=0]] hello'), 502],
    ['a cut stream', chat('[[dieAfterTokens=1]] hello you', { stream: true }), 200],
  ])('%s', async (_, body, status) => {
    const used: number[] = [];
    const end = vi.spyOn(ServerResponse.prototype, 'end').mockImplementation(function (this: ServerResponse, ...rest) {
      used.push(slots.used());
      end.mockRestore();
      return this.end(...rest);
    });
    const path = '/v1/chat/completions';
    const call = {
      lease: `lease of ${_}`,
      epoch: 'e1',
      model: 'm:latest',
      owner: { team: 't', key: 'k', gateway: 'g' },
    };
    const headers = signCall(secret, 'POST', path, call, Date.now());
    const reply = await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    await reply.text();
    expect([reply.status, used]).toEqual([status, [0]]);
  });
});

/** The status of a scrape that does not come over loopback: a socket in the file system has no address. */
function scrape(headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: join(folder, 'socket'), path: '/metrics', headers });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    outgoing.end();
  });
}

describe('metrics', () => {
  it('are told to loopback, and to others with a signature only', async () => {
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
    expect(await scrape({ host: 'w' })).toBe(401);
    expect(await scrape({ host: 'w', ...signCall(secret, 'GET', '/metrics', nobody, Date.now()) })).toBe(200);
  });
});
