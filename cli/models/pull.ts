// `berth models pull`: fetches a model's file to a worker, as `ollama pull` does.
import { linesOf, parsed, post } from '../api.ts';
import { Failed } from '../command.ts';
import type { Command } from '../command.ts';
import { size } from '../doctor/finding.ts';
import { bar } from '../table.ts';

export const pullModel: Command = {
  name: 'models pull',
  about: 'fetches a model, with a progress bar',
  help: `The gateway has a worker fetch it. Ctrl-C stops looking; what was fetched is not lost.
The last status is printed as JSON when the result is piped.

  berth models pull llama3.2:1b`,
  options: {},
  words: ['MODEL'],
  async run({ words: [model] }, world) {
    let last: Record<string, unknown> = {};
    for await (const line of linesOf(await post(world, '/api/pull', { model, stream: true }))) {
      last = parsed(world, line) as Record<string, unknown>;
      // An error that came after the reply had begun.
      if (typeof last['error'] === 'string') throw new Failed(last['error']);
      world.draw(progress(last));
    }
    world.draw('');
    if (last['status'] !== 'success') throw new Failed(`${model} was not fetched: the gateway broke off, try again`);
    world.say(world.terminal ? `${model} is there.` : JSON.stringify(last));
  },
};

const cells = 30;

function progress({ status, total, completed = 0 }: Record<string, unknown>): string {
  if (typeof total !== 'number' || typeof completed !== 'number' || total <= 0) return String(status);
  const share = Math.min(1, completed / total);
  const percent = `${Math.floor(share * 100)} %`.padStart(5);
  return `${String(status)} ${bar(share * cells, cells)} ${percent}  ${size(completed)} of ${size(total)}`;
}
