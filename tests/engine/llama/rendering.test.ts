// A conversation that a template would take minutes for is refused after a moment, on a clock that the templates move.
import { expect, test } from 'vitest';
import { withinTime } from '../../../worker/engine/llama/rendering.ts';

/** Renders conversations of these lengths in turn. @param msOf what the template takes for so many messages */
function rendered(length: number, msOf: (messages: number, call: number) => number) {
  const [lengths, clock]: [number[], { ms: number }] = [[], { ms: 0 }];
  const compile = () => (values: { messages: readonly unknown[] }) => {
    lengths.push(values.messages.length);
    clock.ms += msOf(values.messages.length, lengths.length);
    if (values.messages.length < length) throw new Error('the last message has to be the user’s');
    return 'the prompt';
  };
  const messages = Array.from({ length }, () => ({ role: 'user', content: 'x' }));
  const values = { messages, tools: null, add_generation_prompt: true, bos_token: '', eos_token: '' } as const;
  const render = withinTime(compile, () => clock.ms)('');
  return { lengths, clock, render: () => render({ ...values, messages }) };
}

test('a short conversation is rendered at once', () => {
  const { render, lengths } = rendered(64, () => 300);
  expect(render()).toBe('the prompt');
  expect(lengths).toEqual([64]);
});

test('a long one by a template that reads each message once', () => {
  const { render, clock } = rendered(4096, (messages) => messages * 0.06);
  expect(render()).toBe('the prompt');
  expect(clock.ms).toBeLessThan(2 * 4096 * 0.06 + 1);
});

test('a template that reads all messages for each is refused after a moment, with the numbers', () => {
  for (const length of [400, 1024, 4096]) {
    const { render, clock } = rendered(length, (messages) => messages ** 2 * 0.063);
    expect(render).toThrow(
      expect.objectContaining({ outcome: 'bad_request', message: expect.stringContaining(`${length} messages`) }),
    );
    expect(clock.ms).toBeLessThan(4_500);
  }
});

test('a pause of the machine refuses nobody', () => {
  const { render } = rendered(1024, (messages, call) => messages * 0.06 + (call === 2 ? 900 : 0));
  expect(render()).toBe('the prompt');
});
