// What a worker does with the orders that its beats bring.
import { describe, expect, it } from 'vitest';
import type { Order } from '@berth/shared/ledger/ledger.ts';
import { silentLog } from '@berth/shared/log.ts';
import type { Model } from '../../../worker/models/catalog.ts';
import { createObedience } from '../../../worker/models/obedience.ts';

const orderOf = (model: string, victim = ''): Order => ({ model, victim });

/** A residency whose loads end when the test says so. */
function bench({ missing = false } = {}) {
  const loads: { name: string; victim: string; signal: AbortSignal; end: PromiseWithResolvers<void> }[] = [];
  const told: (Order | null)[] = [];
  const obedience = createObedience({
    catalog: { find: async (name) => (missing ? null : ({ name } as Model)) },
    residency: {
      load({ name }, victim, signal) {
        const end = Promise.withResolvers<void>();
        signal.addEventListener('abort', () => end.reject(signal.reason));
        loads.push({ name, victim, signal, end });
        return end.promise;
      },
    },
    log: silentLog,
    onChange: () => void told.push(obedience.order),
  });
  return { obedience, loads, told };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a worker', () => {
  it('loads what it is ordered, and says when it begins and when it has ended', async () => {
    const { obedience, loads, told } = bench();
    obedience.hear(orderOf('x', 'm'));
    await turn();
    expect(loads).toMatchObject([{ name: 'x', victim: 'm' }]);
    expect(told).toEqual([orderOf('x', 'm')]);
    loads[0]?.end.resolve();
    await turn();
    expect(told).toEqual([orderOf('x', 'm'), null]);
  });

  it('does not begin again when each beat brings the same order', async () => {
    const { obedience, loads, told } = bench();
    for (let beat = 0; beat < 3; beat++) obedience.hear(orderOf('x'));
    await turn();
    expect([loads.length, told.length]).toEqual([1, 1]);
  });

  it('gives an order up that stands no more', async () => {
    const { obedience, loads } = bench();
    obedience.hear(orderOf('x'));
    await turn();
    obedience.hear(null);
    expect(loads[0]?.signal.aborted).toBe(true);
    expect(obedience.order).toBeNull();
  });

  it('goes from one order to the next, and the end of the old one is no end of the new one', async () => {
    const { obedience, loads, told } = bench();
    obedience.hear(orderOf('x'));
    await turn();
    obedience.hear(orderOf('y'));
    await turn();
    expect(loads.map(({ name, signal }) => [name, signal.aborted])).toEqual([
      ['x', true],
      ['y', false],
    ]);
    expect(obedience.order).toEqual(orderOf('y'));
    expect(told).toEqual([orderOf('x'), orderOf('y')]);
  });

  it.each([
    ['fails', false],
    ['is of a model that is not there any more', true],
  ])('obeys no more when the load %s', async (_, missing) => {
    const { obedience, loads, told } = bench({ missing });
    obedience.hear(orderOf('x'));
    await turn();
    loads[0]?.end.reject(new Error('no memory'));
    await turn();
    expect([obedience.order, told.at(-1)]).toEqual([null, null]);
  });
});
