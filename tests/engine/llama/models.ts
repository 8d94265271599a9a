// The models that the engine's tests run: made on the spot, in a folder of their own.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeGguf } from '../../models/gguf.ts';
import { randomModel } from '../../models/random.ts';
import { scriptedModel } from '../../models/scripted.ts';

/** `ENGINE_API=public` runs the engine's tests over the public API, the way it goes on when the internals changed. */
export const publicOnly = process.env['ENGINE_API'] === 'public';

export interface ModelFolder extends Disposable {
  path(file: string): string;
  /** A model of about a million random weights that may end its turn, or never does. */
  random(file: string, more?: { ends?: boolean; template?: string; context?: number; parameters?: number }): string;
  /** A model that always says these words, each a token of its own. */
  scripted(file: string, says: readonly string[]): string;
}

export function modelFolder(): ModelFolder {
  const folder = mkdtempSync(join(tmpdir(), 'berth-engine-'));
  const path = (file: string): string => join(folder, file);
  return {
    path,
    random: (file, { ends = false, context = 2048, parameters = 1e6, ...more } = {}) => {
      // Single precision: batches of different shape round differently, and half precision would now and then say so aloud.
      const shape = { parameters, type: 'f32', vocabulary: 1024, context } as const;
      writeGguf(path(file), randomModel({ ...shape, ends, seed: 3, name: file, ...more }));
      return path(file);
    },
    scripted: (file, says) => {
      writeGguf(path(file), scriptedModel({ name: file, says }));
      return path(file);
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
