// How a try ended, in one word, or what was wrong with its end.
import { answerOf } from './client.ts';
import type { Heard, Shape } from './client.ts';

/**
 * `whole`: all of its own answer. `refused 503`: an HTTP error in the dialect's shape. `cut`: an error frame and a broken
 * connection. `lost`: the gateway was killed. `left`: the client itself went away.
 */
export type Ending = { kind: string; wrong: null } | { kind: 'wrong'; wrong: string };

interface Said {
  content: string;
  finished: boolean;
  failed: boolean;
}

const wrong = (why: string): Ending => ({ kind: 'wrong', wrong: why });
const right = (kind: string): Ending => ({ kind, wrong: null });

/** @param gatewayDied true when the gateway that was asked was killed meanwhile */
export function endingOf(heard: Heard, nonce: string, shape: Shape, gatewayDied: boolean): Ending {
  const { status, clean, left, text } = heard;
  if (left === 'too late') return wrong(`no end (status ${status}, ${text.length} characters)`);
  if (status >= 400) return clean ? refusalOf(status, shape, text) : lostOr(gatewayDied, 'a refusal was cut');
  if (status === 0) return left ? right('left') : lostOr(gatewayDied, `no answer: ${heard.error}`);
  const said = shape.stream ? streamed(text, shape) : whole(text, shape, clean);
  const expected = answerOf(nonce, shape);
  if (!expected.startsWith(said.content)) return wrong(`foreign words: ${JSON.stringify(said.content)}`);
  if (left) return right('left');
  if (!clean) return cutOf(said, shape, gatewayDied);
  if (said.failed) return wrong('an error frame and a clean end');
  if (!said.finished) return wrong('a clean end without a finish');
  return said.content === expected ? right('whole') : wrong(`finished after ${JSON.stringify(said.content)}`);
}

function lostOr(gatewayDied: boolean, why: string): Ending {
  return gatewayDied ? right('lost') : wrong(`${why}, of a gateway that lives`);
}

function cutOf({ finished, failed }: Said, { stream }: Shape, gatewayDied: boolean): Ending {
  if (gatewayDied) return right('lost');
  if (finished) return wrong('a cut reply looks finished');
  return failed || !stream ? right('cut') : wrong('cut without an error frame');
}

function refusalOf(status: number, { dialect }: Shape, text: string): Ending {
  const { error }: { error?: unknown } = JSON.parse(text);
  if (status === 500) return wrong(`an internal error: ${text}`);
  const told = dialect === 'openai' ? isError(error) : typeof error === 'string' && error !== '';
  return told ? right(`refused ${status}`) : wrong(`status ${status} that says ${text}`);
}

function isError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'message' in error && 'type' in error;
}

interface Piece {
  choices?: { delta?: { content?: string }; message?: { content?: string }; finish_reason?: string | null }[];
  message?: { content?: string };
  done?: boolean;
  error?: unknown;
}

function whole(text: string, shape: Shape, clean: boolean): Said {
  if (!clean) return { content: '', finished: false, failed: false };
  return saidIn([JSON.parse(text)], shape);
}

/** Only lines that came as a whole: the last one of a cut reply may be half. */
function streamed(text: string, shape: Shape): Said {
  const lines = text.split('\n').slice(0, -1);
  const marked = shape.dialect === 'ollama' ? lines : lines.flatMap((line) => line.split(/^data: /)[1] ?? []);
  const pieces = marked.filter((line) => line.startsWith('{')).map((line): Piece => JSON.parse(line));
  const said = saidIn(pieces, shape);
  return shape.dialect === 'openai' ? { ...said, finished: marked.includes('[DONE]') } : said;
}

function saidIn(pieces: Piece[], { dialect }: Shape): Said {
  const choices = pieces.map(({ choices }) => choices?.[0]);
  const failed = pieces.some(({ error }) => error !== undefined);
  if (dialect === 'ollama') {
    const content = pieces.map(({ message }) => message?.content ?? '').join('');
    return { content, finished: pieces.some(({ done }) => done === true), failed };
  }
  const content = choices.map((choice) => choice?.delta?.content ?? choice?.message?.content ?? '').join('');
  return { content, finished: choices.some((choice) => Boolean(choice?.finish_reason)), failed };
}
