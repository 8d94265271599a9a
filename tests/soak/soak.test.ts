// The short form of `npm run soak`: the same questions, some hundred requests and each kind of fault at least once.
import { setMaxListeners } from 'node:events';
import { expect, test } from 'vitest';
import { soak } from './soak.ts';

const seed = 7;

test('hundreds of requests under every kind of fault: each ends once, no slot is lost, no worker is overloaded', async () => {
  setMaxListeners(100, process); // each process that it starts ends with it
  const harshness = { gapMs: [100, 800], freezeMsMax: 3_000 } as const;
  const report = await soak({ seed, requests: 500, secondsMax: 40, clients: 24, harshness });
  expect(report.violations).toEqual([]);
  expect({ slots: report.slotsLost, tickets: report.ticketsLost }).toEqual({ slots: 0, tickets: 0 });
  for (const [kind, count] of report.faults) expect({ kind, done: count > 0 }).toEqual({ kind, done: true });
  // A soak in which little was answered would prove little.
  expect((report.endings.get('whole') ?? 0) / report.requests).toBeGreaterThan(0.5);
}, 120_000);
