// A template that looks at all messages for each of them takes minutes for a long conversation, and nothing can interrupt
// it, nor does anybody get a token meanwhile. So a long one is tried on its beginnings first, each twice the last.
import { Refusal } from '@berth/shared/outcome.ts';
import type { PromptModel, TemplateValues } from './template.ts';

/** Fewer messages are rendered at once: quadratic templates take a quarter of a second for so many, measured. */
const messagesUntried = 64;
/** What is expected from less is chance. */
const tellingMs = 50;
const renderMsMax = 2000;

type Render = (values: TemplateValues) => string;

/** What it compiles throws a Refusal `bad_request` where a render is expected to take too long. */
export function withinTime(compile: PromptModel['compile'], now: () => number): PromptModel['compile'] {
  return (template) => {
    const render = compile(template);
    return (values) => {
      const { length } = values.messages;
      let before = 0;
      for (let count = messagesUntried; count < length; count *= 2) {
        const tried = { ...values, messages: values.messages.slice(0, count) };
        let tookMs = msOf(render, tried, now);
        // A second look: the first may have met a pause of the machine.
        if (expectedMs(before, tookMs, length / count) > renderMsMax)
          tookMs = Math.min(tookMs, msOf(render, tried, now));
        if (expectedMs(before, tookMs, length / count) > renderMsMax) throw tooLong(length, count);
        before = tookMs;
      }
      return render(values);
    };
  };
}

/** @param before what half of it took, 0 = not known @param factor how many times longer the whole conversation is */
function expectedMs(before: number, tookMs: number, factor: number): number {
  if (tookMs < tellingMs) return 0;
  const power = before === 0 ? 1 : Math.min(2, Math.max(1, Math.log2(tookMs / before)));
  return tookMs * factor ** power;
}

/** The beginning of a conversation may be one that the template refuses: the time counts all the same. */
function msOf(render: Render, values: TemplateValues, now: () => number): number {
  const startedAt = now();
  try {
    render(values);
  } catch {
    // The whole one says what is wrong.
  }
  return now() - startedAt;
}

function tooLong(length: number, count: number): Refusal {
  const message = `the model's chat template takes too long for ${length} messages, as its time for the first ${count} tells: send fewer`;
  return new Refusal('bad_request', message, { param: 'messages' });
}
