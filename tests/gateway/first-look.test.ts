// A gateway that has just started: who asks before it has met a worker waits for that, and not for long.
import { expect, it } from 'vitest';
import type { Ledger } from '@berth/shared/ledger/ledger.ts';
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import { ask, startRig, until, watched } from './rig.ts';
import type { Ask, Asking, Rig } from './rig.ts';

/** A request that the gateway holds: its patience is a timer more. */
async function asks(rig: Rig, what?: Ask): Promise<Asking> {
  const timers = rig.clock.timers;
  const asking = ask(rig, what);
  await until('the request held', () => rig.clock.timers > timers);
  return asking;
}

/** Between a gateway and its ledger, which does not answer before it is told to. */
function away() {
  const state = { is: true };
  const between = (ledger: Ledger): Ledger => ({
    ...ledger,
    session: async (input) => {
      if (state.is) throw new LedgerUnavailable('nobody there');
      return ledger.session(input);
    },
  });
  return { between, isBack: () => void (state.is = false) };
}

it('a request that came before the first worker is served by it', async () => {
  await using rig = await startRig({ workers: [] });
  using asking = await asks(rig);
  await rig.clock.advance(1_000);
  const worker = await rig.addWorker();
  await rig.clock.advance(1_000);
  expect((await asking.answer).status).toBe(200);
  expect(worker.seen).toHaveLength(1);
});

it('where the ledger has listed nobody for long enough, it is refused, and the next one at once', async () => {
  await using rig = await startRig({ workers: [] });
  using asking = await asks(rig);
  const end = watched(asking.answer);
  await rig.clock.advance(2_000);
  expect(end.come).toBe(false);
  await rig.clock.advance(1_000);
  expect((await asking.answer).status).toBe(503);
  expect((await ask(rig).answer).status).toBe(503);
});

it('a ledger that does not answer yet is waited for, and then for the workers that it will list', async () => {
  const { between, isBack } = away();
  await using rig = await startRig({ workers: [], between });
  await rig.clock.advance(20_000);
  using asking = await asks(rig);
  await rig.clock.advance(5_000);
  isBack();
  await rig.clock.advance(1_000);
  await rig.addWorker();
  await rig.clock.advance(1_000);
  expect((await asking.answer).status).toBe(200);
});

it('a ledger that does not answer for longer is not waited for', async () => {
  const { between } = away();
  await using rig = await startRig({ between });
  using asking = await asks(rig, { path: '/api/chat' });
  await rig.clock.advance(9_000);
  expect(asking.sofar()).toBe('');
  await rig.clock.advance(1_000);
  const { status, text, headers } = await asking.answer;
  expect([status, text, headers['retry-after']]).toEqual([503, expect.stringContaining('no worker'), '2']);
});

it('a client that leaves meanwhile asks nothing of the ledger', async () => {
  await using rig = await startRig({ workers: [] });
  const asking = await asks(rig);
  asking.leave();
  await until('the end of it', () => rig.lines.some(({ outcome }) => outcome === 'client_gone'));
  await rig.addWorker();
  await rig.clock.advance(1_000);
  expect(rig.takes).toEqual([]);
});
