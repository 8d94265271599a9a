// Whether a server can carry a ledger, asked once at the start.

type Command = (name: string, ...args: (string | number)[]) => Promise<unknown>;

const majorMin = 7;

/** A connection that failed with this text, as the end of a sentence. */
export function whyUnreachable(why: string): string {
  if (/WRONGPASS|NOAUTH|invalid password/i.test(why))
    return `refuses the user or the password: put them into REDIS_URL (${why})`;
  if (/certificate|self-signed|altnames/i.test(why))
    return `shows a certificate that is not trusted here (${why}): name the file of its authority in NODE_EXTRA_CA_CERTS, and the server as its certificate does`;
  return `cannot be reached (${why}): start it, or correct REDIS_URL`;
}

/** What is wrong with the server and what to do, as the end of a sentence; `null` when nothing is. */
export async function whatIsUnfit(command: Command): Promise<string | null> {
  const text = await command('INFO').catch((error: Error) => error);
  if (text instanceof Error && !text.message.startsWith('NOPERM')) return whyNoInfo(text);
  // A user that may not ask learns nothing here; the first refusal will tell.
  return whatInfoSays(text instanceof Error ? '' : String(text)) ?? (await whyNoScripts(command));
}

function whyNoInfo({ message }: Error): string {
  if (message.startsWith('NOAUTH')) return 'wants a password: put it into REDIS_URL, redis://:password@host:port';
  return `does not answer INFO: ${message}`;
}

function whatInfoSays(text: string): string | null {
  const pairs = text.matchAll(/^([a-z_]+):(.*?)\r?$/gm);
  const info = new Map(Array.from(pairs, ([, name = '', value = '']) => [name, value]));
  const version = info.get('redis_version');
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  if (info.get('loading') === '1') return 'is still loading its data: start again in a moment';
  if (version !== undefined && Number.parseInt(version, 10) < majorMin)
    return `is version ${version}: Redis ${majorMin} or newer is needed`;
  if (info.get('role') === 'slave')
    return `is a replica, which cannot be written: point REDIS_URL at the primary (${info.get('master_host')})`;
  if (policy.startsWith('allkeys'))
    return `may evict leases (maxmemory-policy ${policy}): set maxmemory-policy noeviction`;
  return null;
}

/** What a refusal of the pool's first commands means and what to do, as the end of a sentence. */
export function whyNoPool(message: string, prefix: string): string {
  const [code = '', , node = ''] = message.split(' ');
  const why: Record<string, string> = {
    NOPERM: `does not let this user keep the pool: allow it the keys ~${prefix}* and the channels &${prefix}* with +@read +@write +@pubsub +@scripting +ping +time`,
    MOVED: `does not hold this pool, another node of the cluster does: put ${node} into REDIS_URL`,
    CLUSTERDOWN: 'is a node of a cluster that does not work: mend it (CLUSTER INFO), or point REDIS_URL elsewhere',
    READONLY: 'is a replica, which cannot be written: point REDIS_URL at the primary',
    OOM: 'is full: raise its maxmemory, or give the pool a server of its own',
    MISCONF: 'takes no writes because it could not save its data: see its log',
    NOREPLICAS: 'takes no writes while it has too few replicas: see min-replicas-to-write',
  };
  return `${why[code] ?? 'does not take what a pool writes'} (${message})`;
}

async function whyNoScripts(command: Command): Promise<string | null> {
  return command('EVAL', 'return 1', 0).then(
    () => null,
    (error: Error) => `does not let this user run scripts: allow +eval and +evalsha (${error.message})`,
  );
}
