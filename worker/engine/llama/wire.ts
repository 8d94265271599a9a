// What the worker and its engine process say to each other: one JSON object per line, one line per step or few short ones.
import type { Socket } from 'node:net';
import type { RefusalName } from '@berth/shared/outcome.ts';
import type { Tokenizing } from '@berth/shared/request.ts';
import type { LoopTuning } from './tuning.ts';
import type {
  EmbedInput,
  EngineEvent,
  EngineInfo,
  EngineOptions,
  EngineRequest,
  EngineStep,
  Tokenized,
} from '../engine.ts';

export interface OpenMessage {
  kind: 'open';
  options: EngineOptions;
  /** Use the public API only, as when the internals fail their test. */
  publicOnly: boolean;
  /** Replaces single values of the loop's tuning for the device. */
  tuning: Partial<LoopTuning>;
  /** Stands in for the free memory that the device tells; `null` = what it tells. */
  freeBytes: number | null;
}

export type ToEngine =
  | OpenMessage
  | { kind: 'run'; id: number; request: EngineRequest }
  | { kind: 'tokenize'; id: number; task: Tokenizing }
  | { kind: 'embed'; id: number; input: EmbedInput }
  | { kind: 'abort'; id: number }
  | { kind: 'threads'; count: number }
  /** Save the prompts and end: nothing runs any more. */
  | { kind: 'close' };

export interface RefusedEvent {
  kind: 'refused';
  outcome: RefusalName;
  message: string;
  param: string | null;
}

interface TokenizedMessage {
  kind: 'tokenized';
  id: number;
  result: Tokenized | RefusedEvent;
}

export interface EmbeddedMessage {
  kind: 'embedded';
  id: number;
  /** The vector as base64 of its 32-bit numbers, little-endian: a fifth of their JSON. */
  result: { vector: string; tokens: number } | RefusedEvent;
}

/** `gone` answers an abort: the sequence is free. */
export type RunEvent = EngineEvent | RefusedEvent | { kind: 'gone' };

export interface StepSummary extends EngineStep {
  /** Steps since the load. */
  step: number;
}

export type FromEngine =
  | { kind: 'ready'; info: EngineInfo }
  | { kind: 'progress' }
  /** `missingBytes`: of memory. */
  | { kind: 'failed'; message: string; missingBytes?: number }
  | { kind: 'note'; message: string }
  | TokenizedMessage
  | EmbeddedMessage
  /** `steps` that were done since the last message. */
  | { kind: 'events'; steps: StepSummary[]; events: [id: number, event: RunEvent][] };

/** Far above the largest request body a worker takes; a longer line means that the other side is broken. */
const lineCharsMax = 64 * 2 ** 20;

export function send(socket: Socket, message: ToEngine | FromEngine): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
}

/** Calls `receive` with each message; a line that is too long or no JSON destroys the socket. */
export function receiveLines(
  socket: Socket,
  receive: ((message: ToEngine) => void) | ((message: FromEngine) => void),
): void {
  let rest: string[] = [];
  let restChars = 0;
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const [head = '', ...more] = text.split('\n');
    rest.push(head);
    restChars += head.length;
    if (restChars > lineCharsMax) socket.destroy(new Error('a line from the other side is too long'));
    for (const next of more) {
      const line = rest.join('');
      rest = [next];
      restChars = next.length;
      try {
        receive(JSON.parse(line));
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    }
  });
}
