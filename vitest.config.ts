// Tests: one real Redis for all, and two processes that take one file after another.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/setup/leftovers.ts', 'tests/setup/redis.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // A process for each file, and its imports, would be a quarter of all the processor time.
    isolate: false,
    testTimeout: 60_000,
    expect: { poll: { timeout: 15_000 } },
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
  },
});
