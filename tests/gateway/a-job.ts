// The smallest job and the smallest caller that are one.
import { openai, parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import type { Job } from '../../gateway/job.ts';
import { allRights } from '../../gateway/policy/key.ts';
import type { Caller } from '../../gateway/policy/key.ts';

export function aJob(change: Partial<Job> = {}): Job {
  return {
    id: 'job',
    dialect: openai,
    path: '/v1/chat/completions',
    generation: parseOpenaiChat({ model: 'tiny', messages: [{ role: 'user', content: 'hello' }] }),
    model: 'tiny:latest',
    milestones: [],
    body: Buffer.alloc(400),
    owner: { team: 'red', key: 'k' },
    priority: 1,
    arrivedMs: 0,
    retry: false,
    patienceMs: null,
    ...change,
  };
}

/** Somebody with all rights; override what the test is about. */
export function aCaller(change: Partial<Caller> = {}): Caller {
  return { team: 'red', key: 'k', id: 'k', rights: allRights, ...change };
}
