// Whether the settings of this machine can be read: those of a gateway and those of a worker.
import { SettingsError, readSettings } from '@berth/shared/config.ts';
import { gatewaySettings } from '../../gateway/settings.ts';
import type { GatewaySettings } from '../../gateway/settings.ts';
import { workerSettings } from '../../worker/settings.ts';
import type { WorkerSettings } from '../../worker/settings.ts';
import { good, problem } from './finding.ts';
import type { Finding } from './finding.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface Read {
  /** `null` when they cannot be read. */
  gateway: GatewaySettings | null;
  worker: WorkerSettings | null;
  findings: Finding[];
}

export function checkSettings(env: Env): Read {
  const problems = new Set<string>();
  const attempt = <T>(read: () => T): T | null => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      for (const each of error.problems) problems.add(each);
      return null;
    }
  };
  const gateway = attempt(() => readSettings(gatewaySettings, env));
  const worker = attempt(() => readSettings(workerSettings, env));
  const findings = [...problems].map((each) =>
    problem('settings', each, 'correct it where the environment is set; the README lists every setting'),
  );
  return { gateway, worker, findings: findings.length > 0 ? findings : [good('settings', 'all can be read')] };
}
