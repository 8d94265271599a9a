// One soak: clients in a closed loop on real processes while faults come, then the questions that must have one answer.
import { eventually } from '../e2e/eventually.ts';
import { usedSlots } from '../e2e/pool.ts';
import { chanceFrom } from '../models/chance.ts';
import { attempt, drawShape } from './client.ts';
import type { Heard, Shape } from './client.ts';
import { endingOf } from './ending.ts';
import { startFaults } from './faults.ts';
import type { Fault, Harshness } from './faults.ts';
import { nonceOf } from './nonce.ts';
import { pause, startPool } from './pool.ts';
import type { Member, Pool } from './pool.ts';
import { readWitness } from './witness.ts';

export interface SoakOptions {
  seed: number;
  /** At least so many are answered whole, and each kind of fault is done once, unless the time is over before. */
  answers: number;
  secondsMax: number;
  clients: number;
  harshness: Harshness;
}

export interface Report {
  requests: number;
  seconds: number;
  endings: Map<string, number>;
  faults: Map<string, number>;
  /** Most generations at once in one worker, by the witness. */
  runningMax: number;
  /** Tries that were started a second time before their first byte, as rule I5 allows. */
  startedTwice: number;
  /** Tries that a worker began only when it thawed, after another had answered: they had been sent before. */
  begunLate: number;
  /** From the end of the last fault until all was free again. */
  recoveryMs: number;
  slotsLost: number;
  ticketsLost: number;
  violations: string[];
}

export const slots = 3;
const size = { gateways: 3, workers: 4, slots };
const recoveryMsMax = 6_000;
const probes = 100;

/** One try and all that is known of it. */
interface Try {
  nonce: string;
  gateway: string;
  fromMs: number;
  toMs: number;
  heard: Heard;
  kind: string;
}

export async function soak({ seed, answers, secondsMax, clients, harshness }: SoakOptions): Promise<Report> {
  await using pool = await startPool(size);
  await eventually('all workers are known', async () => (await free(pool)) === size.workers * slots);
  const startMs = performance.now();
  const faults = startFaults(pool, chanceFrom(seed), harshness);
  const violations: string[] = [];
  const tries: Try[] = [];
  let asked = 0;
  let answered = 0;
  const over = () => performance.now() - startMs > secondsMax * 1_000 || (answered >= answers && faults.complete);

  async function client(): Promise<void> {
    while (!over()) {
      const number = asked++;
      const chance = chanceFrom(seed * 1_000_003 + number);
      const kind = await one(pool, number, drawShape(chance), tries, violations);
      if (kind === 'whole') answered++;
      if (kind.startsWith('refused')) await pause(chance.between(50, 300));
    }
  }
  await Promise.all(Array.from({ length: clients }, client));
  await faults.stop();
  const seconds = (performance.now() - startMs) / 1_000;
  const recovery = await recover(pool, violations);
  await probe(pool, asked, violations);
  const { runningMax, ...started } = await compare(pool, tries, faults.done, violations);
  if (runningMax > slots) violations.push(`${runningMax} generations at once on a worker with ${slots} slots`);
  violations.push(...pool.fallen);
  const endings = counted(tries.map(({ kind }) => kind));
  return {
    requests: asked,
    seconds,
    endings,
    faults: faults.counts(),
    runningMax,
    ...started,
    ...recovery,
    violations,
  };
}

/** Asks until there is an end that is not the death of the gateway. @returns the kind of that end */
async function one(pool: Pool, number: number, shape: Shape, tries: Try[], violations: string[]): Promise<string> {
  for (let turn = 0; ; turn++) {
    const { name, berth } = await aGateway(pool.gateways, number + turn);
    const nonce = nonceOf(number, turn);
    const fromMs = Date.now();
    const heard = await attempt(berth.url, nonce, shape);
    // A process that ended by itself is known a moment after its connections have closed.
    if (!heard.clean && berth.alive) await pause(50);
    const ending = endingOf(heard, nonce, shape, !berth.alive);
    const tried = { nonce, gateway: name, fromMs, toMs: Date.now(), heard, kind: ending.kind };
    tries.push(tried);
    if (ending.wrong !== null) violations.push(`${nameOf(tried)}: ${ending.wrong}`);
    if (ending.kind !== 'lost') return ending.kind;
  }
}

async function aGateway(
  gateways: Member[],
  first: number,
): Promise<{ name: string; berth: NonNullable<Member['berth']> }> {
  for (let at = first; ; at++) {
    const { name, berth } = gateways[at % gateways.length] ?? { name: '', berth: null };
    if (berth?.alive) return { name, berth };
    await pause(20);
  }
}

function nameOf({ nonce, gateway, fromMs, toMs }: Try): string {
  return `${nonce} on ${gateway} [${fromMs}–${toMs}]`;
}

/** Slots that the ledger would give now. */
async function free(pool: Pool): Promise<number> {
  const { workers } = await pool.survey();
  return workers.reduce((sum, { capacity, held }) => sum + capacity - held, 0);
}

/** Waits until the ledger and the workers have all slots free, all gateways are ready and nobody waits. */
async function recover(pool: Pool, violations: string[]) {
  const fromMs = performance.now();
  const all = size.workers * slots;
  const used = async () => Promise.all(pool.workers.map(({ berth }) => usedSlots(berth ?? undefined)));
  // As a load balancer would ask: a gateway that has just been started may not have heard of the workers yet.
  const ready = async () => Promise.all(pool.gateways.map(async ({ berth }) => berth !== null && isReady(berth.url)));
  const whole = async () => {
    const { waiting } = await pool.survey();
    if (waiting.length > 0 || (await free(pool)) !== all) return false;
    return (await used()).every((count) => count === 0) && (await ready()).every(Boolean);
  };
  await eventually('all is free', whole, { withinMs: recoveryMsMax }).catch(() => undefined);
  const recoveryMs = performance.now() - fromMs;
  const { waiting } = await pool.survey();
  const ticketsLost = waiting.reduce((sum, { tickets }) => sum + tickets, 0);
  const slotsLost = all - (await free(pool));
  const busy = (await used()).reduce((sum, count) => sum + count, 0);
  if (slotsLost + ticketsLost + busy > 0) {
    const survey = JSON.stringify(await pool.survey());
    violations.push(
      `after ${recoveryMsMax} ms: ${slotsLost} slots lost, ${ticketsLost} tickets, ${busy} run: ${survey}`,
    );
  }
  return { recoveryMs, slotsLost, ticketsLost };
}

async function isReady(url: string): Promise<boolean> {
  return (await fetch(`${url}/readyz`)).ok;
}

/** Everything works again: each of so many requests gets its answer at the first try. */
async function probe(pool: Pool, first: number, violations: string[]): Promise<void> {
  const tries: Try[] = [];
  const shape: Shape = {
    dialect: 'openai',
    stream: true,
    words: 3,
    wordDelayMs: 1,
    readEveryMs: 0,
    leavesAfterMs: null,
  };
  const numbers = Array.from({ length: probes }, (_, at) => first + at);
  const client = async () => {
    for (let number = numbers.shift(); number !== undefined; number = numbers.shift()) {
      await one(pool, number, shape, tries, violations);
    }
  };
  await Promise.all(Array.from({ length: size.workers }, client));
  const failed = tries.filter(({ kind }) => kind !== 'whole');
  violations.push(...failed.map((tried) => `probe ${nameOf(tried)}: ${tried.kind} ${tried.heard.text}`));
}

/** What the clients heard against what the workers ran. */
async function compare(pool: Pool, tries: Try[], faults: Fault[], violations: string[]) {
  const { runningMax, starts } = await readWitness(pool.witness);
  const thawed = faults.filter(({ kind }) => kind === 'worker frozen');
  const lateBy = (atMs: number) => thawed.some(({ toMs }) => atMs >= toMs - 50 && atMs - toMs < 1_000);
  let startedTwice = 0;
  let begunLate = 0;
  for (const tried of tries) {
    const times = (starts.get(tried.nonce) ?? []).map(({ atMs }) => atMs);
    const { firstWordMs } = tried.heard;
    const again = times.filter((atMs) => firstWordMs !== null && atMs > firstWordMs);
    const late = again.filter(lateBy);
    begunLate += late.length;
    if (times.length > 1) startedTwice += 1;
    const told = `${nameOf(tried)}: started at ${times.join(', ')}`;
    if (again.length > late.length) violations.push(`${told}, after its first byte at ${firstWordMs}`);
    if (times.length > 2) violations.push(`${told}, more than twice`);
    if (tried.kind === 'whole' && times.length === 0) violations.push(`${told}: answered by nobody`);
  }
  return { runningMax, startedTwice, begunLate };
}

function counted(words: string[]): Map<string, number> {
  return new Map([...Map.groupBy(words, (word) => word)].map(([word, all]) => [word, all.length]));
}
