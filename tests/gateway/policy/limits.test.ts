// What a key may use: models, tokens, requests at a time; and what it has used, told to whoever may know.
import { describe, expect, it } from 'vitest';
import { allRights } from '../../../gateway/policy/key.ts';
import { createLimits } from '../../../gateway/policy/limits.ts';
import type { Usage } from '../../../gateway/policy/usage.ts';
import { virtualClock } from '../../doubles/clock.ts';
import { aCard, aSettlement, held, hang, whole } from '../../doubles/fake-worker.ts';
import { aCaller, aJob } from '../a-job.ts';
import { ask, chat, until } from '../rig.ts';
import { call, infer, locked, make, root } from './calls.ts';

const models = { workers: [{ slots: 8, models: [aCard(), aCard({ name: 'other:latest' })] }] };
const settled = (promptTokens: number, outputTokens: number) =>
  whole('{"answer":1}', { ...aSettlement, promptTokens, outputTokens });

describe('models', () => {
  it('that a key may not use are in none of its lists, and refused by name before they are looked for', async () => {
    await using rig = await locked(models);
    const { secret } = await make(rig, { models: ['tiny'] });
    for (const path of ['/v1/models', '/models', '/api/tags', '/api/ps']) {
      const { text } = await call(rig, secret, 'GET', path);
      expect([path, text.includes('tiny'), text.includes('other')]).toEqual([path, true, false]);
    }
    expect((await call(rig, secret, 'GET', '/v1/models/other')).status).toBe(404);
    expect((await call(rig, secret, 'POST', '/api/show', { model: 'other' })).status).toBe(404);
    for (const model of ['other', 'nobody']) {
      const { status, text } = await infer(rig, secret, { model });
      expect([status, text]).toEqual([403, expect.stringContaining('this key may use tiny:latest only')]);
    }
    expect((await infer(rig, secret)).status).toBe(200);
    expect(rig.takes.length).toBe(1);
  });
});

describe('output and context', () => {
  it.each([
    [{ max_tokens: 101 }, 400],
    [{}, 200],
    [{ n: 101 }, 400],
    [{ max_tokens: 100 }, 200],
    [{ max_tokens: 34, n: 3 }, 400],
    [{ max_tokens: 33, n: 3 }, 200],
  ])('a key of 100 output tokens asks for %j: %i', async (change, status) => {
    await using rig = await locked(models);
    const { secret } = await make(rig, { outputMax: 100 });
    expect((await infer(rig, secret, change)).status).toBe(status);
  });

  it.each([
    [{}, '100'],
    [{ max_tokens: 7 }, '100'],
    [{ n: 3 }, '33'],
  ])('its worker is told the most that an answer to %j may have: %s', async (change, most) => {
    await using rig = await locked(models);
    const { secret } = await make(rig, { outputMax: 100 });
    expect((await infer(rig, secret, change)).status).toBe(200);
    expect(rig.workers.flatMap(({ seen }) => seen)[0]?.headers['berth-output-max']).toBe(most);
  });

  it('a larger context than the key may have is refused', async () => {
    await using rig = await locked(models);
    const { secret } = await make(rig, { contextMax: 2_048 });
    const asked = (num_ctx: number) => infer(rig, secret, { options: { num_ctx }, prompt: 'x' }, '/api/generate');
    expect([(await asked(4_096)).status, (await asked(2_048)).status]).toEqual([400, 200]);
    // How many tokens a prompt has, its worker knows.
    expect(rig.worker.seen.map(({ headers }) => headers['berth-context-max'])).toEqual(['2048']);
  });
});

describe('requests at a time', () => {
  it('one more than the key may have is told when to come again, and may when one has ended', async () => {
    await using rig = await locked(models);
    const { secret } = await make(rig, { concurrentMax: 2 });
    const gate = held(settled(1, 1));
    rig.worker.act(gate.act);
    const headers = { authorization: `Bearer ${secret}` };
    using one = ask(rig, { headers });
    using two = ask(rig, { headers, path: '/api/chat' });
    await until('both run', () => rig.held().length === 2);
    for (const path of ['/v1/chat/completions', '/api/chat']) {
      const refused = await infer(rig, secret, {}, path);
      expect([refused.status, refused.headers['retry-after']]).toEqual([429, '1']);
      expect(refused.text).toContain('2 requests');
    }
    expect((await infer(rig, root.slice(0, -1))).status).toBe(401);
    gate.go();
    await Promise.all([one.answer, two.answer]);
    expect((await infer(rig, secret)).status).toBe(200);
  });

  it('a client that leaves gives its place back', async () => {
    await using rig = await locked(models);
    const { secret } = await make(rig, { concurrentMax: 1 });
    rig.worker.act(hang(), settled(1, 1));
    const running = ask(rig, { headers: { authorization: `Bearer ${secret}` } });
    await until('it runs', () => rig.worker.seen.length === 1);
    running.leave();
    await until('it has ended', () => rig.lines.some(({ outcome }) => outcome === 'client_gone'));
    expect((await infer(rig, secret)).status).toBe(200);
  });
});

describe('tokens', () => {
  it('of a minute are reserved, settled by what was used, and come back with time', async () => {
    await using rig = await locked(models);
    const { secret } = await make(rig, { tokensPerMinute: 1_000 });
    rig.worker.act(settled(300, 300));
    expect((await infer(rig, secret, { max_tokens: 500 })).status).toBe(200);
    // 400 are left: 500 and a prompt do not fit, 100 and a prompt do.
    const refused = await infer(rig, secret, { max_tokens: 500 });
    expect(refused.status).toBe(429);
    const seconds = Number(refused.headers['retry-after']);
    expect(seconds).toBeGreaterThanOrEqual(6);
    rig.worker.act(settled(20, 0));
    expect((await infer(rig, secret, { max_tokens: 100 })).status).toBe(200);
    expect((await infer(rig, secret, { max_tokens: 500 })).status).toBe(429);
    await rig.clock.advance(60_000);
    expect((await infer(rig, secret, { max_tokens: 500 })).status).toBe(200);
  });

  it('are reserved for every answer of a request', async () => {
    await using rig = await locked(models);
    const { secret } = await make(rig, { tokensPerMinute: 1_000 });
    rig.worker.act(settled(10, 490));
    expect((await infer(rig, secret, { max_tokens: 100, n: 5 })).status).toBe(200);
    expect((await infer(rig, secret, { max_tokens: 100, n: 5 })).status).toBe(429);
    expect((await infer(rig, secret, { max_tokens: 100 })).status).toBe(200);
  });

  it('an answer longer than reserved is paid for afterwards', async () => {
    await using rig = await locked(models);
    const { secret } = await make(rig, { tokensPerMinute: 1_000 });
    rig.worker.act(settled(10, 2_990));
    expect((await infer(rig, secret)).status).toBe(200);
    await rig.clock.advance(60_000);
    expect((await infer(rig, secret)).status).toBe(429);
    await rig.clock.advance(90_000);
    expect((await infer(rig, secret)).status).toBe(200);
  });

  it('a request that never got a slot costs nothing; one that left in the middle costs what was reserved', async () => {
    await using rig = await locked(models);
    const { secret, id } = await make(rig, { tokensPerMonth: 1_000 });
    expect((await infer(rig, secret, { model: 'nobody' })).status).toBe(404);
    rig.worker.act(hang());
    const running = ask(rig, { headers: { authorization: `Bearer ${secret}` }, body: chat({ max_tokens: 900 }) });
    await until('it runs', () => rig.worker.seen.length === 1);
    running.leave();
    await until('it has ended', () => rig.lines.some(({ outcome }) => outcome === 'client_gone'));
    const refused = await infer(rig, secret, { max_tokens: 200 });
    expect([refused.status, refused.json['error']]).toMatchObject([429, { code: 'insufficient_quota' }]);
    expect(refused.headers).toMatchObject({ 'x-should-retry': 'false' });
    const { json } = await call(rig, root, 'GET', '/admin/usage');
    expect(json['usage']).toMatchObject([{ key: id, requests: 1, outputTokens: 0 }]);
  });
});

describe('usage', () => {
  it('is told per key and team as JSON, as CSV and to Prometheus, and never per end user', async () => {
    await using rig = await locked(models);
    const { secret, id } = await make(rig, { team: 'research', endUserHeader: 'x-user' });
    rig.worker.act(settled(7, 3));
    for (const user of ['ann', 'bob']) {
      await ask(rig, { headers: { authorization: `Bearer ${secret}`, 'x-user': user } }).answer;
    }
    const { json } = await call(rig, root, 'GET', '/admin/usage');
    expect(json['usage']).toMatchObject([
      { team: 'research', key: id, requests: 2, promptTokens: 14, cachedTokens: 4, outputTokens: 6 },
    ]);
    const { text: csv } = await call(rig, root, 'GET', '/admin/usage.csv');
    const [head = '', line = '', end] = csv.split('\n');
    expect([head.split(',').length, line.split(',').slice(1, 7), end]).toEqual([
      9,
      ['research', id, '2', '14', '4', '6'],
      '',
    ]);
    const { text: metrics } = await call(rig, root, 'GET', '/metrics');
    expect(metrics).toContain(`berth_key_tokens_total{team="research",key="${id}",kind="prompt"} 14`);
    expect(metrics).toContain(`berth_key_requests_total{team="research",key="${id}"} 2`);
    expect(metrics).not.toMatch(/ann|bob|berth_key_\w+\{[^}]*\//);
  });
});

describe('several gateways', () => {
  it('of the tokens of a minute admit no more together, whoever joins or dies', async () => {
    const usage: Usage = { count: () => {}, tokensThisMonth: () => 0, rows: () => [] };
    const clock = virtualClock();
    let count = 3;
    const all = Array.from({ length: 4 }, () => createLimits({ usage, clock, gateways: () => count }));
    const caller = aCaller({ rights: { ...allRights, tokensPerMinute: 12_000 } });
    /** Tokens of requests of 500 that one after another are let in now. */
    const admitted = (gateways: number): number =>
      all.slice(0, gateways).reduce((sum, limits) => {
        for (let tokens = 0; ; tokens += 500) {
          try {
            limits.admit(caller, aJob({ body: Buffer.alloc(976) }), { settlement: null, seatedMs: 0 });
          } catch {
            return sum + tokens;
          }
        }
      }, 0);
    expect(admitted(3)).toBe(12_000);
    expect(admitted(3)).toBe(0);
    await clock.advance(30_000);
    expect(admitted(3)).toBe(6_000);
    for (const gateways of [2, 4]) {
      count = gateways;
      await clock.advance(60_000);
      expect(admitted(gateways)).toBe(12_000);
    }
  });

  it.each([
    [10, 2, 5],
    [10, 3, 3],
    [2, 3, 1],
  ])(
    'of a limit of %i at a time each of %i admits %i: together never more than the larger of the two',
    (limit, gateways, each) => {
      const usage: Usage = { count: () => {}, tokensThisMonth: () => 0, rows: () => [] };
      const limits = createLimits({ usage, clock: virtualClock(), gateways: () => gateways });
      const caller = aCaller({ rights: { ...allRights, concurrentMax: limit } });
      const admit = () => limits.admit(caller, aJob(), { settlement: null, seatedMs: null });
      for (let at = 0; at < each; at += 1) admit();
      expect(admit).toThrow('as many as it may');
      expect(each * gateways).toBeLessThanOrEqual(Math.max(limit, gateways));
    },
  );
});
