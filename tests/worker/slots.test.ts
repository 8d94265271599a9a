// The guard alone.
import { describe, expect, it } from 'vitest';
import { createSlots } from '../../worker/slots.ts';
import type { Slot } from '../../worker/slots.ts';

const aLease = (id: string) => ({ id, model: 'm:latest', team: 't', key: 'k', gateway: 'g' });
const held = (taken: Slot | string): Slot => {
  if (typeof taken === 'string') throw new Error(`refused: ${taken}`);
  return taken;
};

describe('slots', () => {
  it('refuse request N+1 and take it when one has come back', () => {
    const slots = createSlots(2, 'e');
    const first = held(slots.take('e', aLease('a')));
    held(slots.take('e', aLease('b')));
    expect(slots.take('e', aLease('c'))).toBe('busy');
    first[Symbol.dispose]();
    expect(held(slots.take('e', aLease('c'))).lease.id).toBe('c');
    expect(slots.running().map(({ id }) => id)).toEqual(['b', 'c']);
  });

  it('refuse a lease of another life before they count', () => {
    expect(createSlots(1, 'e').take('f', aLease('a'))).toBe('stale');
  });

  it('refuse a lease that runs already', () => {
    const slots = createSlots(2, 'e');
    held(slots.take('e', aLease('a')));
    expect(slots.take('e', aLease('a'))).toBe('busy');
    expect(slots.used()).toBe(1);
  });

  it('refuse a lease that has run: its call was recorded and is sent again', () => {
    const slots = createSlots(1, 'e');
    held(slots.take('e', aLease('a')))[Symbol.dispose]();
    expect(slots.take('e', aLease('a'))).toBe('stale');
    for (let at = 0; at < 9_999; at += 1) held(slots.take('e', aLease(`b${at}`)))[Symbol.dispose]();
    expect(slots.take('e', aLease('a'))).toBe('stale');
  });

  it('are given back once', () => {
    const slots = createSlots(2, 'e');
    const first = held(slots.take('e', aLease('a')));
    held(slots.take('e', aLease('b')));
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    expect(slots.used()).toBe(1);
  });

  it('take nothing while the engine hangs', () => {
    const slots = createSlots(2, 'e');
    slots.stall(true);
    expect([slots.capacity(), slots.take('e', aLease('a'))]).toEqual([0, 'busy']);
    slots.stall(false);
    expect([slots.capacity(), slots.state]).toEqual([2, 'ready']);
  });

  it('drain when the last request has ended, and stay drained', async () => {
    const slots = createSlots(2, 'e');
    const only = held(slots.take('e', aLease('a')));
    let drained = false;
    const end = slots.drain().then(() => (drained = true));
    expect(slots.take('e', aLease('b'))).toBe('draining');
    await Promise.resolve();
    expect(drained).toBe(false);
    only[Symbol.dispose]();
    await end;
    slots.stall(false);
    expect([slots.state, slots.capacity()]).toEqual(['draining', 0]);
  });

  it('drain at once when nothing runs', async () => {
    await expect(createSlots(1, 'e').drain()).resolves.toBeUndefined();
  });
});
