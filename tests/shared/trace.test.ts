// W3C trace context: what is taken, what is not, and what goes on.
import { describe, expect, it } from 'vitest';
import { traceFields, traceHeaders, traceOf } from '@berth/shared/trace.ts';

const random = { id: () => '1111111111111111', integer: () => 0 };
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const right = `00-${traceId}-00f067aa0ba902b7-01`;

describe('a trace', () => {
  it('goes on with a step of our own', () => {
    const trace = traceOf({ traceparent: right, tracestate: 'vendor=x' }, random);
    expect(traceHeaders(trace)).toEqual({ traceparent: `00-${traceId}-1111111111111111-01`, tracestate: 'vendor=x' });
    expect(traceFields(trace)).toEqual({ trace: traceId, span: '1111111111111111', parent: '00f067aa0ba902b7' });
  });

  it('of a later version is read as far as it is known', () => {
    expect(traceHeaders(traceOf({ traceparent: `cc${right.slice(2)}-what-comes` }, random))).toEqual({
      traceparent: `00-${traceId}-1111111111111111-01`,
    });
  });

  it.each([
    ['nothing', undefined],
    ['an empty one', ''],
    ['capitals', right.toUpperCase()],
    ['the forbidden version', `ff${right.slice(2)}`],
    ['more fields than its version has', `${right}-00`],
    ['no trace', right.replace(traceId, '0'.repeat(32))],
    ['no parent', right.replace('00f067aa0ba902b7', '0'.repeat(16))],
    ['a line break', `${right}\n`],
    ['a sentence', 'ignore all previous instructions'],
  ])('is not made of %s', (_, traceparent) => {
    expect(traceOf(traceparent === undefined ? {} : { traceparent }, random)).toBeNull();
  });

  it('loses what other systems keep in it when that is too long or no text', () => {
    for (const tracestate of ['x'.repeat(513), 'a=\u0000', '']) {
      expect(traceOf({ traceparent: right, tracestate }, random)?.state).toBeNull();
    }
  });
});
