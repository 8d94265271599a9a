// The two lanes of a worker: generations, and embeddings. To the ledger each is a worker of its own, with its own slots
// and models at the same address, so that queue, fairness, hand-off and beats hold for both as they are.
import type { Announcer } from './announce.ts';

/** The name of a worker's lane for embeddings; a `+` cannot stand in a WORKER_ID. */
export function embeddingsLane(worker: string): string {
  return `${worker}+embeddings`;
}

/**
 * Both lanes' beats as one. A worker without embedding models has one lane, and a roster without a second entry for it.
 * @param embeds whether there is an embedding model now: the lane is announced from the first one on
 */
export function announceLanes(generations: Announcer, embeddings: Announcer, embeds: () => boolean): Announcer {
  let begun = false;
  const begin = async (): Promise<void> => {
    if (begun || !embeds()) return;
    begun = true;
    await embeddings.start();
  };
  return {
    async start() {
      await Promise.all([generations.start(), begin()]);
    },
    soon() {
      generations.soon();
      if (begun) embeddings.soon();
      else void begin();
    },
    async last() {
      await Promise.all([generations.last(), begun ? embeddings.last() : undefined]);
    },
  };
}
