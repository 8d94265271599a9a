// The table of endings is complete in every dialect, and says when to come back.
import { anthropic } from '@berth/shared/dialects/anthropic.ts';
import { type Dialect, headersOf, modelNotFound, statusOf } from '@berth/shared/dialects/dialect.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import { Refusal, type RefusalName, refusals } from '@berth/shared/outcome.ts';
import { describe, expect, test } from 'vitest';

const isOutcome = (name: string): name is RefusalName => Object.hasOwn(refusals, name);
const outcomes = Object.keys(refusals).filter(isOutcome);
const dialects: Dialect[] = [openai, ollama, anthropic];
const cells = outcomes.flatMap((outcome) => dialects.map((dialect) => [outcome, dialect.name, dialect] as const));

describe('every outcome in every dialect', () => {
  test.each(cells)('%s has an error status in %s, and a body and a frame with a reason', (outcome, name, dialect) => {
    const refusal = new Refusal(outcome, 'the reason');
    const status = statusOf(refusal, name);
    expect(Number.isInteger(status) && status >= 400 && status < 600).toBe(true);
    const reason = name === 'ollama' && outcome === 'queue_full' ? 'server busy, please try again' : 'the reason';
    expect(dialect.errorBody(refusal, 'id')).toContain(`:"${reason}`);
    expect(dialect.errorFrame(refusal, 'id')).toContain(dialect.errorBody(refusal, 'id'));
  });

  test.each(outcomes)('%s: only what may pass is told to come back, and never so that clients give up', (outcome) => {
    const headers = headersOf(new Refusal(outcome, 'x'));
    const seconds = Number(headers['retry-after']);
    expect(Number.isInteger(seconds) && seconds >= 1 && seconds <= 30).toBe(refusals[outcome].retryable);
    if (refusals[outcome].retryable) expect(headers).not.toHaveProperty('x-should-retry');
    else expect(headers).not.toHaveProperty('retry-after');
  });
});

describe('when to come back', () => {
  test.each([
    [0, '1', '1000'],
    [1.234, '2', '1234'],
    [7, '7', '7000'],
    [600, '30', '30000'],
  ])('%f s becomes %s s and %s ms', (retryAfterS, seconds, milliseconds) => {
    expect(headersOf(new Refusal('queue_full', 'x', { retryAfterS }))).toEqual({
      'retry-after': seconds,
      'retry-after-ms': milliseconds,
    });
  });

  test('what no repetition mends says so', () => {
    expect(headersOf(new Refusal('context_exceeded', 'x'))).toEqual({ 'x-should-retry': 'false' });
    expect(headersOf(new Refusal('worker_failed', 'x'))).toEqual({});
  });
});

test('an unknown model is named as Ollama names it', () => {
  expect(modelNotFound('llama9')).toMatchObject({
    outcome: 'model_not_found',
    message: "model 'llama9' not found",
    param: 'model',
  });
});
