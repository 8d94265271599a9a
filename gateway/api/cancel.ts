// The end of one request, by an administrator: wherever it runs, or while it waits here.
import { fieldsOf, textUpTo } from '@berth/shared/dialects/check.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Workers } from '../activity.ts';
import { readBody } from '../http.ts';
import type { Exchange, Route } from '../http.ts';
import type { WaitingRoom } from '../waiting.ts';

interface Options {
  room: Pick<WaitingRoom, 'all'>;
  workers: Pick<Workers, 'cancel'>;
  log: Log;
}

const bodyBytesMax = 4_096;

/** Its client is told so, in its dialect, also in the middle of a stream. */
export function cancelRoutes({ room, workers, log }: Options): Route[] {
  const cancel = async (exchange: Exchange) => {
    const asked = fieldsOf(parseJson(await readBody(exchange, bodyBytesMax)), '');
    const request = asked.required('request', textUpTo(64));
    const waiting = room.all().filter(({ job }) => job.id === request);
    for (const ticket of waiting) ticket.refuse(new Refusal('cancelled', 'an administrator ended this request'));
    if (waiting.length === 0 && !(await workers.cancel(request))) {
      const where = 'one that waits can be ended at the gateway where it waits';
      throw new Refusal('key_not_found', `no request with the id ${request} runs, or waits here: ${where}`);
    }
    log.warn('a request was cancelled', { request, by: exchange.owner.id });
    exchange.reply.json(200, JSON.stringify({ cancelled: request }), { 'cache-control': 'no-store' });
  };
  return [{ method: 'POST', path: '/admin/cancel', scope: 'admin', dialect: openai, handle: cancel }];
}
