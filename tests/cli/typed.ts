// What a person types at the command line, and what comes of it.
import { systemClock } from '@berth/shared/clock.ts';
import { berth } from '../../cli/berth.ts';

export interface Typed {
  key?: string | null;
  url?: string;
  files?: Record<string, string>;
  env?: Record<string, string>;
  /** A person reads, and not a pipe. */
  terminal?: boolean;
  /** The person stops it after so many pauses. */
  pausesMax?: number;
  /** How long a pause really is. */
  pauseMs?: number;
}

/** The person pressed Ctrl-C. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

export async function typeIn(line: string, typed: Typed) {
  const { key = null, url = '', files = {}, env = {}, terminal = false, pausesMax = 0, pauseMs = 0 } = typed;
  const [said, explained]: [string[], string[]] = [[], []];
  const became: { part: string; settings: Record<string, string> }[] = [];
  const drawn: string[] = [];
  const written: Record<string, string> = {};
  let pauses = 0;
  const code = await berth(line === '' ? [] : line.split(' '), {
    url,
    key,
    env,
    terminal,
    clock: systemClock,
    pause: async () => {
      if ((pauses += 1) > pausesMax) throw new Interrupted('it was stopped');
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    },
    say: (text) => void said.push(text),
    explain: (text) => void explained.push(text),
    become: async (part, settings) => void became.push({ part, settings }),
    draw: (text) => void drawn.push(text),
    write: async (path, text) => void (written[path] = text),
    read: async (path) => files[path] ?? Promise.reject(new Error('there is no such file')),
  }).catch((error: Error) => {
    if (error instanceof Interrupted) return 130;
    throw error;
  });
  return { code, said: said.join('\n'), explained: explained.join('\n'), became, drawn, written };
}
