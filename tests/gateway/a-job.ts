// The smallest job that is one.
import { openai, parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import type { Job } from '../../gateway/job.ts';

export function aJob(change: Partial<Job> = {}): Job {
  return {
    id: 'job',
    dialect: openai,
    path: '/v1/chat/completions',
    generation: parseOpenaiChat({ model: 'tiny', messages: [{ role: 'user', content: 'hello' }] }),
    model: 'tiny:latest',
    body: Buffer.alloc(400),
    owner: { team: 'red', key: 'k' },
    priority: 1,
    arrivedMs: 0,
    retry: false,
    patienceMs: null,
    ...change,
  };
}
