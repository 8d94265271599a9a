// The one-shot set-up of compose.yaml: makes what is secret, once, and shows where Berth answers and with which key.
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '@berth/shared/clock.ts';
import { silentLog } from '@berth/shared/log.ts';
import { systemRandom } from '@berth/shared/random.ts';
import { createKeyBook } from '../../gateway/policy/book.ts';
import { allRights, readKey } from '../../gateway/policy/key.ts';
import { openRegisters } from '../../gateway/policy/registers.ts';

const { SECRETS_DIR = '/run/berth', STATE_DIR = '/state', POOL, REDIS_HOST, BERTH_URL } = process.env;
const pool = POOL || 'berth';
const url = BERTH_URL || 'http://127.0.0.1:8080';
const fresh = (): string => randomBytes(24).toString('base64url');

/** The secret of that name, made unless it is there: readable by its owner and group, whole or not at all. */
async function secret(name: string, make: () => string | Promise<string> = fresh): Promise<string> {
  const path = join(SECRETS_DIR, name);
  const kept = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (kept !== null && kept.trim() !== '') return kept.trim();
  const made = await make();
  await write(path, made);
  return made;
}

async function write(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, `${text}\n`, { mode: 0o640 });
  await rename(`${path}.new`, path);
}

/** What a pool may do on its Redis, and nothing else; Redis itself knows only a digest. */
function accessRules(password: string): string {
  const digest = createHash('sha256').update(password).digest('hex');
  const rights = '-@all +@read +@write +@pubsub +@scripting -@dangerous +ping +time +hello'; // as in SECURITY.md
  return [
    'user default off',
    `user berth on #${digest} resetkeys ~b:{${pool}}:* resetchannels &b:{${pool}}:* ${rights}`,
    'user health on nopass resetkeys resetchannels -@all +ping',
  ].join('\n');
}

/** A key that may do nothing but read metrics, in the book that the first gateway opens and tells the others of. */
async function metricsKey(): Promise<string> {
  const registers = await openRegisters({
    path: join(STATE_DIR, 'keys.json'),
    carrier: null,
    prefix: '',
    everyMs: 60_000,
    check: readKey,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  const by = { team: 'operators', key: 'setup', id: 'setup', gateway: 'setup', rights: allRights };
  const body = { name: 'prometheus', team: 'operators', scopes: ['metrics'] };
  const made = await createKeyBook({ registers, clock: systemClock }).create(body, by);
  await registers[Symbol.asyncDispose]();
  return made.secret;
}

try {
  await mkdir(SECRETS_DIR, { recursive: true, mode: 0o750 });
  const password = await secret('redis-password');
  // Anew each time: it follows POOL.
  await write(join(SECRETS_DIR, 'users.acl'), accessRules(password));
  await secret('redis-url', () => `redis://berth:${password}@${REDIS_HOST || 'redis:6379'}`);
  await secret('cluster-secret');
  await secret('metrics-key', metricsKey);
  const grafana = await secret('grafana-password');
  const key = await secret('api-key', () => `berth_${fresh()}`);
  process.stdout.write(`Berth answers at ${url}  (OpenAI: ${url}/v1, Ollama: ${url})
Key: ${key}
Dashboards: ${url}/grafana/  (user admin, password ${grafana})
Try:
  curl ${url}/v1/models -H "Authorization: Bearer ${key}"
Keys for teams: docker compose exec gateway-1 berth keys create --team NAME
`);
} catch (error) {
  process.stderr.write(`setup: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
