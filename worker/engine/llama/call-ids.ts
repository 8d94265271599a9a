// The ids of earlier calls as a model's template wants them, where it does not take just any.
import { createHash } from 'node:crypto';
import type { ChatMessage } from '@berth/shared/request.ts';

/** A call keeps one id in the message that makes it and in the one that answers it. */
export function withCallIds(template: string, messages: ChatMessage[]): ChatMessage[] {
  // Mistral's templates refuse ids that are not of nine letters and digits, as their own are.
  if (/\|\s*length\s*!=\s*9\b/.test(template)) return messages.map(withNine);
  return template.includes('<|tool_call_argument_begin|>') ? withPlaces(messages) : messages;
}

function withNine(message: ChatMessage): ChatMessage {
  return {
    ...message,
    ...(message.toolCallId !== undefined && { toolCallId: nineOf(message.toolCallId) }),
    ...(message.toolCalls && { toolCalls: message.toolCalls.map((call) => ({ ...call, id: nineOf(call.id) })) }),
  };
}

function nineOf(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 9);
}

/**
 * Kimi's ids stand in the prompt, and name the tool and the call's place in the conversation. An answer without an id,
 * as Ollama's clients send it, is that of the first call of its tool that has none yet.
 */
function withPlaces(messages: ChatMessage[]): ChatMessage[] {
  let count = 0;
  let open: { given: string; name: string; id: string }[] = [];
  return messages.map((message) => {
    const { role, name, toolCallId, toolCalls } = message;
    if (toolCalls) {
      const placed = toolCalls.map((call) => ({ ...call, id: `functions.${call.name}:${count++}` }));
      open = placed.map((call, at) => ({ ...call, given: toolCalls[at]?.id ?? '' }));
      return { ...message, toolCalls: placed };
    }
    if (role !== 'tool') return message;
    const at = open.findIndex((call) =>
      toolCallId === undefined ? name === undefined || call.name === name : call.given === toolCallId,
    );
    const [call] = at === -1 ? [] : open.splice(at, 1);
    return call ? { ...message, toolCallId: call.id } : message;
  });
}
