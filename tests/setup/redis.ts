// One Redis for the whole test run. Test files share it and keep apart by the name of their pool.
import type { TestProject } from 'vitest/node';
import { startRedis } from '../tools/redis.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Of the Redis that all test files share: use a pool of your own, never flush it. */
    redisUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['REDIS_URL'];
  if (given !== undefined && given !== '') {
    project.provide('redisUrl', given);
    return async () => {};
  }
  const server = await startRedis();
  project.provide('redisUrl', server.url);
  return () => server.stop();
}
