// When a joined server is in rotation: looks, canaries, silence and the pauses between tries, on a clock of the test's own.
import { describe, expect, it } from 'vitest';
import { silentLog } from '@berth/shared/log.ts';
import { createPulse } from '../../../worker/upstream/pulse.ts';
import { virtualClock } from '../../doubles/clock.ts';

function bench() {
  const clock = virtualClock();
  const server = { there: true, works: true, free: true, running: 0, loads: false };
  const asked: number[] = [];
  const looks: number[] = [];
  const ups: boolean[] = [];
  const warnings: string[] = [];
  const pulse = createPulse({
    clock,
    log: { ...silentLog, warn: (_text, fields) => void warnings.push(String(fields?.['why'])) },
    silenceMs: 60_000,
    async look() {
      looks.push(clock.monotonic());
      if (!server.there) throw new Error('it is not there');
    },
    async canary() {
      if (!server.free) return false;
      asked.push(clock.monotonic());
      if (!server.works) throw new Error('it does not answer');
      return true;
    },
    running: () => server.running,
    asksIdle: () => !server.loads,
    onChange: (up) => void ups.push(up),
  });
  return { clock, server, asked, looks, ups, warnings, pulse };
}

describe('a joined server', () => {
  it('is in rotation once it has answered a canary, and is asked again when it was idle for long', async () => {
    const { pulse, asked, ups, clock } = bench();
    await pulse.start();
    expect([pulse.up, asked, ups]).toEqual([true, [0], [true]]);
    await clock.advance(70_000);
    expect(asked.length).toBe(3);
  });

  it('is not asked while it is idle, when each question would keep a model loaded', async () => {
    const { pulse, server, asked, clock } = bench();
    server.loads = true;
    await pulse.start();
    await clock.advance(600_000);
    expect(asked).toEqual([0]);
  });

  it('is asked when it has work and is silent, and what it runs ends when it does not answer', async () => {
    const { pulse, server, asked, clock } = bench();
    await pulse.start();
    const { life } = pulse;
    server.running = 1;
    await clock.advance(20_000);
    expect([asked.length, life.aborted]).toEqual([2, false]);
    server.works = false;
    await clock.advance(20_000);
    expect([pulse.up, life.aborted, String(life.reason)]).toEqual([
      false,
      true,
      expect.stringContaining('it does not answer'),
    ]);
    expect(pulse.life.aborted).toBe(false);
  });

  it('is not asked while bytes come', async () => {
    const { pulse, server, asked, clock } = bench();
    await pulse.start();
    server.running = 1;
    for (let second = 0; second < 100; second += 1) {
      pulse.sign();
      await clock.advance(1_000);
    }
    expect(asked).toEqual([0]);
  });

  it('that cannot be asked, because all of its slots are taken, may be silent up to the bound', async () => {
    const { pulse, server, clock } = bench();
    await pulse.start();
    Object.assign(server, { running: 2, free: false });
    await clock.advance(58_000);
    expect(pulse.up).toBe(true);
    await clock.advance(6_000);
    expect(pulse.up).toBe(false);
  });

  it('out of rotation is tried with pauses from 1 s to 30 s, and each reason is told once', async () => {
    const { pulse, server, looks, warnings, clock } = bench();
    server.there = false;
    await pulse.start();
    pulse.suspect();
    await clock.advance(119_000);
    const gaps = looks.map((at, index) => at - (looks[index - 1] ?? 0));
    expect(gaps).toEqual([0, 0, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    expect(warnings).toEqual(['it is not there']);
    server.there = true;
    await clock.advance(30_000);
    expect(pulse.up).toBe(true);
  });

  it('whose list cannot be had while its answers flow stays in rotation', async () => {
    const { pulse, server, clock } = bench();
    await pulse.start();
    Object.assign(server, { there: false, running: 1 });
    for (let second = 0; second < 20; second += 1) {
      pulse.sign();
      await clock.advance(1_000);
    }
    expect(pulse.up).toBe(true);
    server.running = 0;
    await clock.advance(3_000);
    expect(pulse.up).toBe(false);
  });
});
