// Directed tests for faults that neither random histories nor the simulation can be relied on to notice.
import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { Announcement } from '@berth/shared/announcement.ts';
import { nobody } from '@berth/shared/auth.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import { LedgerUnavailable, type Ledger, type Taken } from '@berth/shared/ledger/ledger.ts';
import { silentLog } from '@berth/shared/log.ts';
import type { Generation } from '@berth/shared/request.ts';
import { expect, test } from 'vitest';
import { createFallbackLedger, type FallbackLedger } from '../../gateway/ledger/fallback.ts';
import { createMemoryLedger } from '../../gateway/ledger/memory.ts';
import type { Endpoint } from '../../worker/endpoints.ts';
import { serveGeneration, type Kit } from '../../worker/generate.ts';
import { noDefaults } from '../../worker/models/defaults.ts';
import { createActivityLog } from '../../worker/activity.ts';
import { createSlots } from '../../worker/slots.ts';
import { virtualClock } from '../doubles/clock.ts';
import { aBeat, aSession, aTake } from '../ledger/inputs.ts';

const announcement = {
  protocol: 1,
  worker: 'w1',
  epoch: 'e1',
  url: 'http://w1',
  slots: 4,
  state: 'ready',
  device: 'cpu',
  models: [{ name: 'llama', capabilities: [] as string[] }],
} as Announcement;

/** Two gateways know of one worker with four slots, the first has taken so many of them; then the ledger goes away. */
async function alone(taken: number): Promise<FallbackLedger> {
  const clock = virtualClock();
  let away = false;
  const memory = createMemoryLedger({ clock });
  const guarded = <Input, Output>(run: (input: Input) => Promise<Output>) => {
    return (input: Input) => (away ? Promise.reject(new LedgerUnavailable('away')) : run(input));
  };
  const shared: Ledger = { ...memory, take: guarded(memory.take), session: guarded(memory.session) };
  await shared.beat(aBeat({ capacity: 4, announcement: JSON.stringify(announcement) }));
  await shared.session(aSession({ gateway: 'g2' }));
  const ledger = createFallbackLedger({ shared, clock, log: silentLog });
  await ledger.session(aSession());
  for (let at = 0; at < taken; at++) await ledger.take(aTake());
  away = true;
  await ledger.session(aSession());
  expect(ledger.degraded).toBe(true);
  return ledger;
}

async function kinds(ledger: FallbackLedger, count: number): Promise<Taken['kind'][]> {
  const taken: Taken[] = [];
  for (let at = 0; at < count; at++) taken.push(await ledger.take(aTake()));
  return taken.map(({ kind }) => kind);
}

test('a gateway alone uses its share of the slots', async () => {
  expect(await kinds(await alone(0), 3)).toEqual(['held', 'held', 'wait']);
});

test('a gateway alone counts what it runs already', async () => {
  expect(await kinds(await alone(1), 2)).toEqual(['held', 'wait']);
});

test('a worker frees the slot before the last byte of an answer leaves', async () => {
  const slots = createSlots(1, 'e1');
  const usedAtEnd: number[] = [];
  const outcomes: string[] = [];
  const response = Object.assign(new EventEmitter(), {
    headersSent: false,
    writableFinished: true,
    shouldKeepAlive: false,
    req: { socket: null },
    setHeader: () => response,
    writeHead: () => response,
    addTrailers: () => undefined,
    write: () => true,
    end: () => {
      usedAtEnd.push(slots.used());
      response.emit('close');
    },
  });
  const generation = { prompt: null, keepAliveMs: 0, stream: false, sampling: {}, stop: [] } as unknown as Generation;
  const endpoint = {
    dialect: openai,
    parse: () => generation,
    reply: () => ({ headers: {}, whole: () => '{}' }),
  } as unknown as Endpoint;
  const kit = {
    slots,
    activity: createActivityLog(virtualClock()),
    catalog: {
      models: () => [],
      find: async () => ({ name: 'llama', capabilities: ['completion'], defaults: noDefaults, header: {} }),
    },
    solitude: { enter: async () => ({ [Symbol.dispose]() {} }) },
    residency: { unload: () => undefined },
    metrics: { settled: () => undefined, ended: (outcome: string) => outcomes.push(outcome) },
    clock: virtualClock(),
    log: silentLog,
    cut: new AbortController().signal,
  } as unknown as Kit;
  const call = { ...nobody, lease: 'a', epoch: 'e1', model: 'llama' };
  const request = Object.assign(Readable.from([Buffer.from('{}')]), { headers: {} }) as unknown as IncomingMessage;
  await serveGeneration(kit, endpoint, call, request, response as unknown as ServerResponse);
  expect([usedAtEnd, outcomes]).toEqual([[0], ['ok']]);
});
