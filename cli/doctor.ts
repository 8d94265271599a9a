// `berth doctor`: what most often is wrong on a machine, and what to do about each.
import { totalmem } from 'node:os';
import { Failed } from './command.ts';
import type { Command, World } from './command.ts';
import type { Finding } from './doctor/finding.ts';
import { checkGateway } from './doctor/gateway.ts';
import { judgeGpus, lookForGpus } from './doctor/gpu.ts';
import { checkOpenFiles, checkPort, checkPromptRoom } from './doctor/machine.ts';
import { checkModels } from './doctor/models.ts';
import { checkRedis } from './doctor/redis.ts';
import { checkSettings } from './doctor/settings.ts';

export const doctor: Command = {
  name: 'doctor',
  about: 'checks this machine: settings, Redis, ports, file limits, models, clock, GPU',
  help: `Run it where a gateway or a worker runs, with the same environment: it reads the same settings and changes nothing.
  --json    for a program

Exit code 1 when there is a problem; a warning is none.`,
  options: { json: { type: 'boolean' } },
  words: [],
  async run({ options }, world) {
    const findings = await examine(world);
    const problems = findings.filter(({ state }) => state === 'problem').length;
    const asJson = options['json'] === true || !world.terminal;
    world.say(asJson ? JSON.stringify(findings, null, 2) : findings.map(shown).join('\n'));
    if (problems > 0) throw new Failed(problems === 1 ? 'There is a problem.' : `There are ${problems} problems.`);
  },
};

async function examine(world: World): Promise<Finding[]> {
  const { gateway, worker, findings } = checkSettings(world.env);
  const asked = await checkGateway(world);
  const gpus = worker && (await lookForGpus(worker.gpu.devices, world.clock));
  const memoryBytes = Math.max(0, ...(gpus?.gpus ?? []).map((each) => each.memoryBytes ?? 0)) || totalmem();
  return [
    ...findings,
    ...(gateway ? await checkRedis(gateway.redisUrl, world.clock) : []),
    ...asked.findings,
    ...(gateway ? [await checkPort({ name: 'GATEWAY_PORT', ...gateway }, asked.there)] : []),
    ...(worker && worker.port !== 0 ? [await checkPort({ name: 'WORKER_PORT', ...worker }, false)] : []),
    ...(await checkOpenFiles()),
    ...(worker ? await checkPromptRoom(worker.promptCacheBytes) : []),
    ...(worker && gpus ? judgeGpus(worker.gpu.kind, gpus, world.env['LD_LIBRARY_PATH'] ?? '') : []),
    ...(worker ? await checkModels(worker, memoryBytes, world.clock) : []),
  ];
}

const marks = { good: 'ok     ', warning: 'warning', problem: 'PROBLEM' };

function shown({ subject, state, found, advice }: Finding): string {
  const line = `${marks[state]}  ${subject.padEnd(13)} ${found}`;
  return advice === undefined ? line : `${line}\n${' '.repeat(24)}-> ${advice}`;
}
