// Who may call whom: signatures, owners in headers, and the pool's own secret.
import { describe, expect, it } from 'vitest';
import { checkCall, decodeOwner, encodeOwner, nobody, sharedSecret, signCall } from '@berth/shared/auth.ts';
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

  it.each(['berth-lease', 'berth-epoch', 'berth-model', 'berth-owner', 'berth-time'])(
    'is forged when %s was changed',
    (name) => {
      expect(check({ ...signed(), [name]: `${signed()[name]}0` })).toEqual({ kind: 'refused', why: 'forged' });
    },
  );

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

it('gives everybody the secret of who came first', async () => {
  const kept = new Map<string, string>();
  const store = {
    get: async (name: string) => kept.get(name) ?? null,
    setIfAbsent: async (name: string, value: string) => void (kept.has(name) || kept.set(name, value)),
  };
  const secrets = await Promise.all(['one', 'two', 'three'].map((own) => sharedSecret(store, 'p', () => own)));
  expect(new Set(secrets).size).toBe(1);
  expect([...kept.keys()]).toEqual(['b:{p}:secret']);
});
