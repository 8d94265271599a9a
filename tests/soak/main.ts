// `npm run soak`: ten minutes of faults on real processes. The seed gives the faults and requests, not their timing.
import { parseArgs } from 'node:util';
import { setMaxListeners } from 'node:events';
import { slots, soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    answers: { type: 'string', default: '8000' },
    clients: { type: 'string', default: '24' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});

setMaxListeners(100, process); // each process that it starts ends with it
const report = await soak({
  seed: Number(values.seed),
  answers: Number(values.answers),
  secondsMax: Number(values.seconds),
  clients: Number(values.clients),
  harshness: { gapMs: [100, 2_500], freezeMsMax: 8_000 },
});
console.log(`seed ${values.seed}: ${report.requests} requests in ${report.seconds.toFixed(0)} s`);
console.log('endings', Object.fromEntries(report.endings));
console.log('faults', Object.fromEntries(report.faults));
console.log(`at most ${report.runningMax} of ${slots} slots in use on a worker`);
console.log(
  `${report.startedTwice} started twice before a first byte, ${report.begunLate} begun late by a thawed worker`,
);
console.log(
  `${report.slotsLost} slots and ${report.ticketsLost} tickets lost, all free ${report.recoveryMs.toFixed(0)} ms after`,
);
for (const violation of report.violations.slice(0, 30)) console.log(`VIOLATION ${violation}`);
if (report.violations.length > 0) {
  console.log(`${report.violations.length} violations: npm run soak -- --seed ${values.seed}`);
  process.exitCode = 1;
}
