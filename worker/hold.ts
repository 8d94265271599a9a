// A slot for what runs beside this worker, such as a page of another server on the same GPU: taken and given back by
// the gateway that passes it on, for as long as the gateway keeps its connection.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Call } from '@berth/shared/auth.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import { linked } from './abort.ts';
import { serve } from './serve.ts';
import type { ServeKit } from './serve.ts';
import type { Slots } from './slots.ts';

const keepAliveMs = 5_000;

/**
 * Answers with a head, and then with nothing until either side ends it. The slot is free, and the ledger knows it, a
 * moment after the connection has closed, however its gateway came to that: the lease needs no clock.
 */
export async function holdSlot(
  kit: ServeKit,
  slots: Slots,
  call: Call,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  request.resume();
  // A host that has gone without a word is noticed after 5 s and ten questions, one a second.
  request.socket.setKeepAlive(true, keepAliveMs);
  await serve(kit, slots, openai, call, request, response, async ({ outbox, progress }) => {
    response.writeHead(200).flushHeaders();
    using both = linked([outbox.signal, kit.cut, progress.signal]);
    const { promise, reject } = Promise.withResolvers<never>();
    const end = () => reject(both.signal.reason);
    both.signal.addEventListener('abort', end, { once: true });
    if (both.signal.aborted) end();
    return await promise;
  });
}
