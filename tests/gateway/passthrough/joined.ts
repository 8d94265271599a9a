// A worker that has no engine but a server behind it: its door, its guard and its beats are those of every worker.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@berth/shared/clock.ts';
import type { WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import { silentLog } from '@berth/shared/log.ts';
import { systemRandom } from '@berth/shared/random.ts';
import { createAnnouncer } from '../../../worker/announce.ts';
import { beatOf } from '../../../worker/cards.ts';
import { holdSlot } from '../../../worker/hold.ts';
import { createWorkerServer } from '../../../worker/http.ts';
import { createMetrics } from '../../../worker/metrics.ts';
import type { Pages } from '../../../worker/pages.ts';
import { createSlots } from '../../../worker/slots.ts';
import { createActivityLog, lookAt } from '../../../worker/activity.ts';
import { createStanding } from '../../../worker/standing.ts';

export async function aJoinedWorker(
  ledger: WorkerLedger,
  secret: string,
  pages: Pages,
  { id, slots: count }: { id: string; slots: number },
): Promise<AsyncDisposable> {
  const slots = createSlots(count, `${id}-life`);
  const about = { device: 'cpu', loadedMax: 1, gpus: async () => [], clock: systemClock };
  const metrics = createMetrics({ version: '0', worker: id, ...about });
  const common = { ledger, metrics, clock: systemClock, random: systemRandom, log: silentLog };
  const activity = createActivityLog(systemClock);
  const kit = { ...common, activity, cut: new AbortController().signal, onNews: () => announcer.soon() };
  const nothing = () => Promise.reject(new Error('this is no part of the tests'));
  const server = createWorkerServer({
    ...kit,
    secret,
    look: () => lookAt(activity, 'cpu', about.gpus),
    epoch: `${id}-life`,
    standing: createStanding({ unload: () => {}, rest: () => {}, onChange: () => {} }),
    handlers: {
      generate: () => undefined,
      show: nothing,
      scrape: nothing,
      hold: (call, request, response) => holdSlot(kit, slots, call, request, response),
      pages,
    },
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const self = { worker: id, epoch: `${id}-life`, url, slots: count, loadedMax: 1, device: 'cpu' };
  const stock = {
    models: [],
    residents: [],
    order: null,
    isTaken: () => false,
    isPinned: () => false,
    contextTokens: 512,
  };
  const now = () => beatOf(self, slots, { ...stock, failed: () => null });
  const announcer = createAnnouncer({ ...common, now, onOrder: () => {}, onStale: () => {} });
  await announcer.start();
  return {
    async [Symbol.asyncDispose]() {
      await announcer.last();
      server.close();
      server.closeAllConnections();
    },
  };
}
