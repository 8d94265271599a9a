// What is refused before it waits because no context can hold it, and what goes to the one box that can.
import { describe, expect, it } from 'vitest';
import { checkContext, isTooLong } from '../../../gateway/placement/fit.ts';
import { aCard, whole } from '../../doubles/fake-worker.ts';
import { ask, chat, startRig } from '../rig.ts';

const words = (count: number) => 'word '.repeat(count);
const body = (count: number) => chat({ messages: [{ role: 'user', content: words(count) }] });

describe('a prompt', () => {
  it('that cannot fit anywhere is refused, because words are the fewest tokens that it can have', () => {
    const raw = (text: string) => checkContext({ kind: 'raw', text }, text.length, { least: 10, most: 100 });
    expect(() => raw(words(100))).toThrow(
      'prompt has at least 100 tokens, the largest context of this model here is 100',
    );
    expect(() => raw(words(99))).not.toThrow();
    expect(() => raw('\n'.repeat(5_000))).not.toThrow();
    expect(() => checkContext({ kind: 'tokens', tokens: Array(100).fill(1) }, 500, { least: 1, most: 100 })).toThrow();
  });

  it('that the worker would shorten is not refused', () => {
    const messages = [{ role: 'user' as const, content: words(500) }];
    const prompt = { kind: 'chat' as const, messages, tools: [], forgets: true as const };
    expect(() => checkContext(prompt, 2_500, { least: 1, most: 100 })).not.toThrow();
  });

  it('is likely too long for a context with fewer tokens than half of its characters', () => {
    expect([isTooLong(2_000, 1_000), isTooLong(2_001, 1_000)]).toEqual([false, true]);
  });
});

describe('at a gateway', () => {
  it('a job that is too long for every context is refused before anybody is asked', async () => {
    await using rig = await startRig({ workers: [{ models: [aCard({ contextTokens: 512 })] }] });
    const { status, text } = await ask(rig, { body: body(600) }).answer;
    expect([status, JSON.parse(text).error.code]).toEqual([400, 'context_length_exceeded']);
    expect(rig.takes).toEqual([]);
  });

  it('a long job goes to the worker whose context is large enough, and waits for it alone', async () => {
    const small = { models: [aCard({ contextTokens: 512 })], slots: 8 };
    const large = { models: [aCard({ contextTokens: 8_192 })], slots: 1 };
    await using rig = await startRig({ workers: [small, large, small] });
    for (const worker of rig.workers) worker.act(whole('{}'));
    for (let turn = 0; turn < 3; turn += 1) {
      expect((await ask(rig, { body: body(600) }).answer).headers['berth-worker']).toBe('w2');
    }
    expect(rig.takes.map(({ exclude }) => exclude)).toEqual([1, 2, 3].map(() => ['w1', 'w3']));
  });

  it('an image goes to the worker whose copy can see', async () => {
    const blind = { models: [aCard()], slots: 8 };
    const seeing = { models: [aCard({ capabilities: ['completion', 'vision'] })], slots: 1 };
    await using rig = await startRig({ workers: [blind, seeing] });
    for (const worker of rig.workers) worker.act(whole('{}'));
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,aGk=' } };
    const seen = chat({ messages: [{ role: 'user', content: [image] }] });
    for (let turn = 0; turn < 3; turn += 1) {
      expect((await ask(rig, { body: seen }).answer).headers['berth-worker']).toBe('w2');
    }
  });
});
