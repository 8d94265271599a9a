// What the gateways of a simulation know of requests that kill engines: carried between them at once.
import type { Entry, Registers } from '../../gateway/policy/registers.ts';

export function sharedMarks(): Registers {
  const held = new Map<string, Entry>();
  return {
    get: (name) => held.get(name),
    entries: () => [...held],
    get size() {
      return held.size;
    },
    put(name, entry) {
      if (entry.revision > (held.get(name)?.revision ?? -1)) held.set(name, entry);
    },
    flush: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}
