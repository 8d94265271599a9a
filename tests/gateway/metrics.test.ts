// What a gateway tells of itself: counts by outcome, bounded series, and never a secret or a prompt.
import { describe, expect, it } from 'vitest';
import { Refusal } from '@berth/shared/outcome.ts';
import { createAuthenticate } from '../../gateway/keys.ts';
import { ledgerCounts } from '@berth/shared/ledger/ledger.ts';
import { aBeat, running } from '../ledger/inputs.ts';
import { aCard, die, held, notStarted, refuse, stall, whole } from '../doubles/fake-worker.ts';
import { ask, chat, raw, secret, startRig, until, wire } from './rig.ts';
import type { Rig } from './rig.ts';

async function scrape(rig: Rig, headers: Record<string, string> = {}): Promise<string[]> {
  const { status, text, headers: head } = await ask(rig, { method: 'GET', path: '/metrics', headers }).answer;
  expect([status, head['content-type']]).toEqual([200, expect.stringContaining('text/plain')]);
  return text.split('\n');
}

/** The samples of one metric, without those of the process. */
function samples(lines: readonly string[], name: string): string[] {
  return lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `)).toSorted();
}

describe('metrics', () => {
  it('count requests by dialect, model and outcome', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }], settings: { waitingMax: 0 } });
    await ask(rig).answer;
    await ask(rig, { path: '/api/chat', body: chat({ model: 'tiny:latest' }) }).answer;
    await ask(rig, { body: '{' }).answer;
    await ask(rig, { body: chat({ model: 'nobody' }) }).answer;
    await ask(rig, { method: 'GET', path: '/nothing' }).answer;
    rig.worker.act(refuse(400, new Refusal('context_exceeded', 'x')));
    await ask(rig).answer;
    rig.worker.act(stall('x'));
    const asking = ask(rig);
    await until('the slot taken', () => asking.sofar() !== '');
    await ask(rig).answer;
    asking.leave();
    await until('it has gone', () => rig.lines.some(({ outcome }) => outcome === 'client_gone'));
    expect(samples(await scrape(rig), 'berth_requests_total')).toEqual([
      'berth_requests_total{dialect="ollama",model="tiny:latest",team="everyone",outcome="ok"} 1',
      'berth_requests_total{dialect="openai",model="none",team="none",outcome="bad_request"} 1',
      'berth_requests_total{dialect="openai",model="none",team="none",outcome="model_not_found"} 1',
      'berth_requests_total{dialect="openai",model="none",team="none",outcome="route_not_found"} 1',
      'berth_requests_total{dialect="openai",model="tiny:latest",team="everyone",outcome="client_gone"} 1',
      'berth_requests_total{dialect="openai",model="tiny:latest",team="everyone",outcome="context_exceeded"} 1',
      'berth_requests_total{dialect="openai",model="tiny:latest",team="everyone",outcome="ok"} 1',
      'berth_requests_total{dialect="openai",model="tiny:latest",team="everyone",outcome="queue_full"} 1',
    ]);
  });

  it('count tokens, retries and seconds of what ran', async () => {
    await using rig = await startRig({ workers: [{}, {}] });
    const acts = [die('rst'), whole('{}')];
    for (const worker of rig.workers) worker.act((exchange) => acts.shift()?.(exchange));
    await ask(rig).answer;
    const lines = await scrape(rig);
    expect(samples(lines, 'berth_tokens_total')).toEqual([
      'berth_tokens_total{model="tiny:latest",kind="cached"} 2',
      'berth_tokens_total{model="tiny:latest",kind="output"} 3',
      'berth_tokens_total{model="tiny:latest",kind="prompt"} 7',
    ]);
    expect(samples(lines, 'berth_retries_total')).toEqual(['berth_retries_total 1']);
    expect(lines).toContain('berth_ttft_seconds_count{model="tiny:latest",team="everyone"} 1');
    expect(lines).toContain('berth_request_seconds_count{model="tiny:latest"} 1');
    expect(lines).toContain('berth_queue_wait_seconds_count{model="tiny:latest",priority="normal"} 1');
  });

  it('show slots, queue and gateways as the ledger has them, and that it answers', async () => {
    await using rig = await startRig({
      workers: [{ slots: 1 }, { slots: 3, models: [aCard({ name: 'other:latest' })] }],
    });
    const first = held(whole('{}'));
    rig.worker.act(first.act, whole('{}'));
    const both = [ask(rig), ask(rig, { headers: { 'berth-priority': 'high' } })];
    await until('one waits', () => rig.waiting().length === 1);
    const lines = await scrape(rig);
    expect(samples(lines, 'berth_slots')).toEqual([
      'berth_slots{worker="w1",state="free"} 0',
      'berth_slots{worker="w1",state="held"} 1',
      'berth_slots{worker="w2",state="free"} 3',
      'berth_slots{worker="w2",state="held"} 0',
    ]);
    expect(samples(lines, 'berth_queue_depth')).toEqual(['berth_queue_depth{model="tiny:latest",priority="high"} 1']);
    expect(samples(lines, 'berth_leases')).toEqual(['berth_leases{worker="w1",model="tiny:latest"} 1']);
    expect(samples(lines, 'berth_model_slots_free')).toEqual([
      'berth_model_slots_free{model="other:latest"} 3',
      'berth_model_slots_free{model="tiny:latest"} 0',
    ]);
    expect(samples(lines, 'berth_requests_inside')).toEqual(['berth_requests_inside 2']);
    expect([...samples(lines, 'berth_gateways'), ...samples(lines, 'berth_ledger_up')]).toEqual([
      'berth_gateways 1',
      'berth_ledger_up 1',
    ]);
    rig.outage(true);
    await rig.clock.advance(1_000);
    const away = await scrape(rig);
    expect(samples(away, 'berth_ledger_up')).toEqual(['berth_ledger_up 0']);
    const ofLedger = ['berth_slots', 'berth_queue_depth', 'berth_leases', 'berth_model_slots_free'];
    expect([...ofLedger, 'berth_ledger_events_total'].flatMap((name) => samples(away, name))).toEqual([]);
    rig.outage(false);
    first.go();
    await Promise.all(both.map(({ answer }) => answer));
  });

  it('count the corrections of the ledger, what a worker had no slot for, and whether the gateway is on its own', async () => {
    let degraded = false;
    await using rig = await startRig({ options: { degraded: () => degraded } });
    rig.worker.act(notStarted('busy'), whole('{}'));
    const asking = ask(rig);
    await until('it waits again', () => rig.waiting().length === 1);
    await rig.worker.beat();
    expect((await asking.answer).status).toBe(200);
    await rig.ledger.beat(aBeat({ worker: 'w9', running: [running('a'), running('b')] }));
    await rig.ledger.beat(aBeat({ worker: 'w9', epoch: 'e2', boot: true }));
    const lines = await scrape(rig);
    expect(samples(lines, 'berth_busy_total')).toEqual(['berth_busy_total 1']);
    const events = samples(lines, 'berth_ledger_events_total');
    expect(events).toHaveLength(ledgerCounts.length);
    expect(events.filter((line) => !line.endsWith(' 0'))).toEqual([
      'berth_ledger_events_total{event="leases_added"} 2',
      'berth_ledger_events_total{event="leases_new_epoch"} 2',
    ]);
    expect(samples(lines, 'berth_degraded')).toEqual(['berth_degraded 0']);
    degraded = true;
    expect(samples(await scrape(rig), 'berth_degraded')).toEqual(['berth_degraded 1']);
  });

  it('tell how each slot was handed over, and how long that took on the ledger’s clock', async () => {
    let deaf = false;
    await using rig = await startRig({
      workers: [{ slots: 1 }],
      between: (ledger) => ({
        ...ledger,
        // The ledger’s clock is an hour ahead, and each push takes 30 ms.
        session: async (input) => {
          const reply = await ledger.session(input);
          return { ...reply, nowMs: reply.nowMs + 3_600_000 };
        },
        listen: (gateway, onGrant) =>
          ledger.listen(gateway, (grant) => deaf || onGrant({ ...grant, atMs: grant.atMs + 3_600_000 - 30 })),
      }),
    });
    const turn = async () => {
      const first = held(whole('{}'));
      rig.worker.act(first.act, whole('{}'));
      const both = [ask(rig), ask(rig)];
      await until('one waits', () => rig.waiting().length === 1);
      first.go();
      await until('the grant', () => rig.waiting().length === 0);
      await rig.clock.advance(1_000);
      for (const { answer } of both) expect((await answer).status).toBe(200);
    };
    await turn();
    deaf = true;
    await turn();
    const lines = await scrape(rig);
    expect(samples(lines, 'berth_handoffs_total')).toEqual([
      'berth_handoffs_total{result="recovered"} 1',
      'berth_handoffs_total{result="taken"} 1',
    ]);
    expect(samples(lines, 'berth_handoff_seconds_sum')).toEqual(['berth_handoff_seconds_sum 0.03']);
  });

  it('are whole when two ask at once', async () => {
    await using rig = await startRig({
      between: (ledger) => ({
        ...ledger,
        async survey() {
          const turns = Math.floor(Math.random() * 20);
          for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
          return ledger.survey();
        },
      }),
    });
    const all = await Promise.all(Array.from({ length: 8 }, () => scrape(rig)));
    for (const lines of all) expect(samples(lines, 'berth_slots')).toHaveLength(2);
  });

  it('all have names that begin with berth_, and say what they are', async () => {
    await using rig = await startRig();
    await ask(rig).answer;
    const lines = (await scrape(rig)).filter((line) => line !== '');
    expect(lines.filter((line) => !/^(# (HELP|TYPE) )?berth_/.test(line))).toEqual([]);
    expect(lines.filter((line) => /^# HELP \S+\s*$/.test(line))).toEqual([]);
  });

  it('have the same number of series after 10,000 names that no worker has', async () => {
    await using rig = await startRig();
    // A thousand requests in one go on one connection: what is measured is the gateway, not the client.
    const thousand = async (batch: number) => {
      const bodies = Array.from({ length: 1_000 }, (_, at) => chat({ model: `model-${batch}-${at}` }));
      const texts = bodies.map((body, at) => wire(body, at === 999 ? { connection: 'close' } : {}));
      const { text } = await raw(rig, texts.join(''));
      expect(text.split('HTTP/1.1 404').length).toBe(1_001);
    };
    await thousand(0);
    // The process's own (garbage collection by kind) come when they happen.
    const series = async () => (await scrape(rig)).filter((line) => !line.includes('berth_gateway_'));
    const before = await series();
    for (let batch = 1; batch < 10; batch += 1) await thousand(batch);
    const after = await series();
    expect(after.length).toBe(before.length);
    expect(after.join('\n')).not.toContain('model-');
    expect(after).toContain(
      'berth_requests_total{dialect="openai",model="none",team="none",outcome="model_not_found"} 10000',
    );
  }, 60_000);
});

describe('the log', () => {
  const canaries = {
    key: 'canary-of-a-key-0123456789',
    prompt: 'canary-of-a-prompt',
    system: 'canary-of-a-system-prompt',
    answer: 'canary-of-an-answer',
    query: 'canary-of-a-query',
    stop: 'canary-of-a-stop',
    schema: 'canary_of_a_schema',
  };
  const messages = [
    { role: 'system', content: canaries.system },
    { role: 'user', content: canaries.prompt },
  ];

  it('has one line per request, with its outcome', async () => {
    await using rig = await startRig();
    await ask(rig).answer;
    await ask(rig, { body: '{' }).answer;
    await ask(rig, { method: 'GET', path: '/livez' }).answer;
    const lines = rig.lines.filter(({ message }) => message === 'request');
    expect(lines.map(({ outcome, dialect, model, team, key }) => [outcome, dialect, model, team, key])).toEqual([
      ['ok', 'openai', 'tiny:latest', 'everyone', 'anyone'],
      ['bad_request', 'openai', undefined, undefined, undefined],
    ]);
  });

  it('carries the request id that the client was told, however it ended', async () => {
    await using rig = await startRig();
    const ids = [];
    for (const body of [chat(), '{', chat({ model: 'nobody' })]) {
      ids.push((await ask(rig, { body }).answer).headers['x-request-id']);
    }
    const lines = rig.lines.filter(({ message }) => message === 'request');
    expect(lines.map(({ request }) => request)).toEqual(ids);
  });

  it('says where the time went and why that worker, and goes on with the trace of a client', async () => {
    await using rig = await startRig();
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const headers = { traceparent: `00-${trace}-00f067aa0ba902b7-01` };
    await ask(rig, { headers }).answer;
    await ask(rig, { headers: { traceparent: 'canary' } }).answer;
    const [first, second] = rig.lines.filter(({ message }) => message === 'request');
    expect(first).toMatchObject({ reason: 'preferred', prefillMs: 4, decodeMs: 6, trace, parent: '00f067aa0ba902b7' });
    expect(second).not.toHaveProperty('trace');
    const [one, two] = rig.worker.seen;
    expect(one?.headers['traceparent']).toBe(`00-${trace}-${String(first?.['span'])}-01`);
    expect(two?.headers).not.toHaveProperty('traceparent');
    expect(JSON.stringify(rig.lines)).not.toContain('canary');
  });

  it('says of an internal error what it was, under the request id that the client was told', async () => {
    await using rig = await startRig({
      between: (ledger) => ({ ...ledger, take: () => Promise.reject(new TypeError('a mistake of ours')) }),
    });
    const { status, headers, text } = await ask(rig).answer;
    expect([status, text.includes('a mistake of ours')]).toEqual([500, false]);
    const line = rig.lines.find(({ level }) => level === 'error');
    expect(line).toMatchObject({
      request: headers['x-request-id'],
      error: expect.stringContaining('a mistake of ours'),
    });
  });

  it('and the metrics never repeat a key, a prompt or an answer, whatever goes wrong', async () => {
    await using rig = await startRig({
      workers: [{}, {}],
      options: { authenticate: createAuthenticate([canaries.key]) },
    });
    const headers = { authorization: `Bearer ${canaries.key}` };
    const body = chat({ messages, stop: [canaries.stop], stream: true });
    const answer = `data: ${canaries.answer}\n\n`;
    const acts = [
      whole(answer),
      die('rst'),
      die('fin', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n${canaries.answer.slice(0, 3)}`),
      stall(answer),
      whole(answer),
    ];
    for (const worker of rig.workers) worker.act((exchange) => (acts.length > 1 ? acts.shift() : acts[0])?.(exchange));
    for (let turn = 0; turn < 2; turn += 1) await ask(rig, { headers, body }).answer.catch(() => {});
    const gone = ask(rig, { headers, body });
    await until('an answer', () => gone.sofar() !== '' || acts.length === 1);
    gone.leave();
    const wrong = [
      body.slice(0, -2),
      `[${body}]`,
      chat({ messages: canaries.prompt }),
      chat({ messages: [{ role: canaries.prompt, content: 1 }] }),
      chat({ messages, temperature: canaries.prompt }),
      chat({ messages, response_format: { type: canaries.prompt } }),
      chat({ messages, response_format: { type: 'json_schema', json_schema: { schema: canaries.schema } } }),
      chat({ messages, tools: [{ type: canaries.prompt }] }),
    ];
    for (const path of ['/v1/chat/completions', '/api/chat', '/api/generate']) {
      for (const body of wrong) await ask(rig, { headers, path, body }).answer;
    }
    await ask(rig, { path: `/nothing?key=${canaries.query}` }).answer;
    await ask(rig, { headers: { authorization: `Bearer ${canaries.prompt}` } }).answer;
    await until('all lines', () => rig.lines.filter(({ message }) => message === 'request').length >= 29);
    const said = `${JSON.stringify(rig.lines)}\n${(await scrape(rig, headers)).join('\n')}`;
    expect([...Object.values(canaries), secret].filter((canary) => said.includes(canary))).toEqual([]);
  });
});
