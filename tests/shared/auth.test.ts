// Who may call whom: signatures, owners in headers, and the pool's own secret.
import { describe, expect, it } from 'vitest';
import { checkCall, decodeOwner, encodeOwner, nobody, poolSecret, signCall } from '@berth/shared/auth.ts';
import type { SecretStore } from '@berth/shared/auth.ts';
import { silentLog } from '@berth/shared/log.ts';
import { virtualClock } from '../doubles/clock.ts';
import type { VirtualClock } from '../doubles/clock.ts';
import type { Call } from '@berth/shared/auth.ts';

const secret = 'a secret of the pool';
const path = '/v1/chat/completions';
const now = 1_700_000_000_000;
const call: Call = {
  lease: 'lease1',
  epoch: 'epoch1',
  model: 'modèle 模型:latest',
  owner: { team: 'red|blue', key: 'k%1', gateway: 'g1' },
};
const signed = (): Record<string, string> => signCall(secret, 'POST', path, call, now);
const check = (headers: Record<string, string>, at = now, method = 'POST', on = path) =>
  checkCall(secret, method, on, headers, at);

describe('a signed call', () => {
  it('is understood by who knows the secret', () => {
    expect(check(signed())).toEqual({ kind: 'ok', call });
  });

  it('has header values that HTTP can carry, whatever the names are', () => {
    for (const value of Object.values(signed())) expect(value).toMatch(/^[\x21-\x7e]+$/);
  });

  it.each([
    'berth-lease',
    'berth-epoch',
    'berth-model',
    'berth-owner',
    'berth-alone',
    'berth-output-max',
    'berth-time',
  ])('is forged when %s was changed', (name) => {
    expect(check({ ...signed(), [name]: `${signed()[name]}0` })).toEqual({ kind: 'refused', why: 'forged' });
  });

  it('holds for one method and one path only', () => {
    expect(check(signed(), now, 'GET').kind).toBe('refused');
    expect(check(signed(), now, 'POST', '/api/chat').kind).toBe('refused');
  });

  it('is forged under another secret', () => {
    expect(checkCall('another secret', 'POST', path, signed(), now)).toEqual({ kind: 'refused', why: 'forged' });
  });

  it('is believed for 30 seconds in both directions', () => {
    expect(check(signed(), now + 30_000).kind).toBe('ok');
    expect(check(signed(), now - 30_000).kind).toBe('ok');
    expect(check(signed(), now + 30_001)).toEqual({ kind: 'refused', why: 'expired' });
  });

  it.each([{}, { 'berth-signature': '' }])('is unsigned without a signature', (headers) => {
    expect(check(headers as Record<string, string>)).toEqual({ kind: 'refused', why: 'unsigned' });
  });

  it('cannot move characters from one field into the next', () => {
    const one = signCall(secret, 'POST', path, { ...nobody, lease: 'ab', epoch: 'c' }, now);
    const other = signCall(secret, 'POST', path, { ...nobody, lease: 'a', epoch: 'bc' }, now);
    expect(one['berth-signature']).not.toBe(other['berth-signature']);
  });
});

it('carries an owner through a header', () => {
  const owner = { team: 'a|b', key: 'ü %', gateway: '' };
  expect(decodeOwner(encodeOwner(owner))).toEqual(owner);
});

describe("the pool's secret in Redis", () => {
  const aStore = () => {
    const kept = new Map<string, string>();
    const store: SecretStore = {
      get: async (name) => kept.get(name) ?? null,
      setIfAbsent: async (name, value) => void (kept.has(name) || kept.set(name, value)),
    };
    return { kept, store };
  };
  const ask = async (store: SecretStore, clock: VirtualClock, own: string, log = silentLog) => {
    const secret = poolSecret({ store, pool: 'p', fresh: () => own, clock, log });
    await clock.advance(2_000);
    return secret;
  };

  it('is that of who came first', async () => {
    const { kept, store } = aStore();
    const clock = virtualClock();
    const asked = ['one', 'two', 'three'].map((own) =>
      poolSecret({ store, pool: 'p', fresh: () => own, clock, log: silentLog }),
    );
    await clock.advance(2_000);
    expect(new Set(await Promise.all(asked)).size).toBe(1);
    expect([...kept.keys()]).toEqual(['b:{p}:secret']);
  });

  it('is put back by those who run when Redis was emptied, and found by who starts meanwhile', async () => {
    const { kept, store } = aStore();
    const clock = virtualClock();
    expect(await ask(store, clock, 'old')).toBe('old');
    kept.clear();
    expect(await ask(store, clock, 'new')).toBe('old');
  });

  it('is said to have changed, once, where another one was put in its place', async () => {
    const { kept, store } = aStore();
    const clock = virtualClock();
    const said: string[] = [];
    await ask(store, clock, 'old', { ...silentLog, error: (message) => void said.push(message) });
    kept.set('b:{p}:secret', 'other');
    await clock.advance(5_000);
    expect(said).toEqual([expect.stringContaining('restart this process')]);
  });
});
