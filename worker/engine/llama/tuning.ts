// How much prompt a step of the slot loop may read, by device.

export interface LoopTuning {
  /** Most prompt tokens per step while answers stream and one prompt waits; where several wait, a whole batch. */
  prefillTokensBusy: number;
  /** What the prompt chunk of a step may cost the running answers, milliseconds; twice as much where several prompts wait. */
  gapMs: number;
  /** What a step may take while nobody answers: bounds how long a cancellation waits, milliseconds. */
  idleStepMs: number;
  /** What saving a prompt may cost a new request while nobody answers, milliseconds. */
  savePauseMs: number;
  /** What saving all prompts may cost an unload, milliseconds. */
  closeSaveMs: number;
  /** What shorter steps bring is told together, milliseconds; an answer's first and last token at once. */
  frameMs: number;
  /** Requests that wait for a sequence. The worker admits no more than it has, so this is a second line. */
  waitingMax: number;
}

const saving = { savePauseMs: 1_000, closeSaveMs: 1_500 };

/**
 * On a CPU, chunks from 128 to 512 read a prompt equally fast; 128 keeps a stream's pauses short. Steps of 300 ms, while
 * nobody answers, read 256 tokens of a 150M model in two or three pieces and took 4 % longer than one.
 */
export const cpuTuning: LoopTuning = {
  prefillTokensBusy: 128,
  gapMs: 400,
  idleStepMs: 600,
  frameMs: 4,
  ...saving,
  waitingMax: 256,
};

/** A GPU needs larger chunks to be busy; the measured speed makes them smaller where that would be felt. */
export const gpuTuning: LoopTuning = { ...cpuTuning, prefillTokensBusy: 512, gapMs: 80 };
