// What a client may ask of the queue by headers, and what becomes of nonsense.
import { describe, expect, it } from 'vitest';
import { wishesOf } from '../../gateway/wishes.ts';
import { aCaller } from './a-job.ts';
import { ask, chat, startRig, until } from './rig.ts';
import { held, whole } from '../doubles/fake-worker.ts';

const owner = { team: 't', key: 'k' };
const priority = (header?: string, more = {}) =>
  wishesOf(header === undefined ? {} : { 'berth-priority': header }, { ...owner, ...more }).priority;

describe('the priority', () => {
  it('is high, normal or low, and normal when nothing is asked', () => {
    expect([priority(), priority('high'), priority('Normal'), priority('low')]).toEqual([1, 0, 1, 2]);
  });

  it('is never more than the key may have', () => {
    expect([priority('high', { priorityMax: 1 }), priority(undefined, { priorityMax: 2 })]).toEqual([1, 2]);
    expect(priority('low', { priorityMax: 1 })).toBe(2);
  });

  it.each(['urgent', '', '0', '-1', 'high, low', '__proto__'])(
    '%j is refused with the name of the header',
    (header) => {
      expect(() => priority(header)).toThrow(/berth-priority must be one of high, normal, low/);
    },
  );

  it('of two tickets of teams that used the same decides which is served first', async () => {
    await using rig = await startRig({
      workers: [{ slots: 1 }],
      options: { authenticate: ({ authorization = '' }) => aCaller({ team: authorization }) },
    });
    const first = held(whole('{}'));
    rig.worker.act(first.act, whole('{}'));
    using running = ask(rig, { headers: { authorization: 'running' } });
    await until('the slot taken', () => rig.held().length === 1);
    const order: string[] = [];
    const waits = ['low', 'normal', 'high'].map(async (header, at) => {
      const { status } = await ask(rig, {
        headers: { authorization: header, 'berth-priority': header },
        body: chat({ user: String(at) }),
      }).answer;
      order.push(`${header} ${status}`);
    });
    await until('all wait', () => rig.waiting().length === 3);
    first.go();
    await Promise.all([running.answer, ...waits]);
    expect(order).toEqual(['high 200', 'normal 200', 'low 200']);
    expect(rig.lines.flatMap(({ priority }) => priority ?? [])).toEqual(['normal', 'high', 'normal', 'low']);
  });

  it('that is nonsense is a 400 that names the header, before anything waits', async () => {
    await using rig = await startRig();
    const { status, text } = await ask(rig, { headers: { 'berth-priority': 'now' } }).answer;
    expect([status, JSON.parse(text)]).toMatchObject([400, { error: { param: 'berth-priority' } }]);
    expect(rig.takes).toEqual([]);
  });
});

describe('the weight', () => {
  it('of a team goes with every request to the ledger', async () => {
    await using rig = await startRig({ options: { authenticate: () => aCaller({ team: 'heavy', weight: 3 }) } });
    await ask(rig).answer;
    expect(rig.takes).toMatchObject([{ team: 'heavy', weight: 3 }]);
  });
});
