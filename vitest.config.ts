// How `npm test` runs: every test below tests/, beside one real Redis.
import { configDefaults, defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: ['tests/setup/redis.ts'],
    include: ['tests/**/*.test.ts'],
    exclude: [...configDefaults.exclude, '**/node_modules/**'],
  },
});
