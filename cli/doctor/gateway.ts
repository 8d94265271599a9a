// Whether a gateway answers where the command line looks for it, and takes its key.
import type { World } from '../command.ts';
import { judgeClock } from './clock.ts';
import { good, problem, warning } from './finding.ts';
import type { Finding } from './finding.ts';

const subject = 'gateway';
const answerMs = 5_000;

export interface Asked {
  /** Whether something there is a gateway of Berth. */
  there: boolean;
  findings: Finding[];
}

export async function checkGateway({ url, key, clock }: World): Promise<Asked> {
  const ask = (path: string) =>
    fetch(`${url}${path}`, {
      headers: key === null ? {} : { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(answerMs),
      redirect: 'error',
    }).catch(() => null);
  const askedMs = clock.now();
  const health = await ask('/health');
  if (health === null) {
    return { there: false, findings: [warning(subject, `none answers at ${url}`, 'start it, or set BERTH_URL')] };
  }
  const body = (await health.json().catch(() => null)) as {
    status?: string;
    version?: string;
    workers?: { worker: string; state: string }[];
  } | null;
  if (typeof body?.status !== 'string' || typeof body.version !== 'string') {
    return { there: false, findings: [problem(subject, `what answers at ${url} is no Berth`, 'set BERTH_URL')] };
  }
  const findings = [judgeState(url, body.status, body.version), ...judgeWorkers(body.workers ?? [])];
  const date = Date.parse(health.headers.get('date') ?? '');
  // It tells whole seconds, cut off.
  if (Number.isFinite(date)) findings.push(judgeClock('the gateway', date + 500 - (askedMs + clock.now()) / 2));
  findings.push(judgeKey((await ask('/api/queue'))?.status ?? 0));
  return { there: true, findings };
}

function judgeState(url: string, status: string, version: string): Finding {
  if (status === 'ok') return good(subject, `version ${version} at ${url} takes requests`);
  return problem(
    subject,
    `version ${version} at ${url}: ${status}`,
    'berth status shows its workers; their logs say more',
  );
}

/** One that is not understood takes nothing; the others go on. */
function judgeWorkers(workers: { worker: string; state: string }[]): Finding[] {
  return workers
    .filter(({ state }) => state === 'not understood')
    .map(({ worker }) =>
      problem('worker', `what ${worker} announces is not understood`, 'update it; the gateway logs why'),
    );
}

function judgeKey(status: number): Finding {
  if (status === 200) return good('key', 'the gateway takes it');
  if (status === 401)
    return problem('key', 'the gateway wants another one', 'set BERTH_KEY to a key with the scope admin');
  if (status === 403)
    return warning('key', 'it lacks the scope metrics', 'use a key with the scopes metrics and admin');
  return warning('key', `the gateway answered ${status}`, 'its log says more');
}
