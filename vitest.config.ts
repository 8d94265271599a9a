// Tests: one real Redis for all. What starts processes runs in one of its own; files that do not share theirs.
import { defineConfig } from 'vitest/config';

export const usual = {
  globalSetup: ['tests/setup/leftovers.ts', 'tests/setup/redis.ts'],
  pool: 'forks' as const,
  maxWorkers: 2,
  testTimeout: 30_000,
  hookTimeout: 60_000,
  teardownTimeout: 20_000,
};

/** Half of a short file's time is a process for it and its imports. */
const light = ['dialects', 'gateway', 'replies', 'shared', 'worker'].map((name) => `tests/${name}/**/*.test.ts`);

export default defineConfig({
  test: {
    ...usual,
    // The names give the order: the long files come first.
    projects: [
      {
        extends: true,
        test: { name: 'alone', include: ['tests/**/*.test.ts'], exclude: [...light, '**/node_modules/**'] },
      },
      { extends: true, test: { name: 'together', include: light, isolate: false } },
    ],
  },
});
