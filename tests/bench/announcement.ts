// What a gateway's processor spends on a worker that announces something new each second: `npm run bench:announcement`.
// Three models are loaded and used, the others lie on the disk; a tenth of the prompts that the worker knows is new
// each time. Parsing, checks, who holds what, and the index by model are in it; the way through Redis is not.
import { writeAnnouncement } from '@berth/shared/announcement.ts';
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';
import { systemClock } from '@berth/shared/clock.ts';
import { createLog } from '@berth/shared/log.ts';
import { packHashes } from '@berth/shared/prefix.ts';
import { createRoster } from '../../gateway/workers/roster.ts';
import { aCard } from '../doubles/fake-worker.ts';

const workers = 20;
const turns = Number(process.env['TURNS'] ?? 60);
const hashes = 1_536;

/** As a worker says it in one of its seconds. */
function announcement(worker: number, models: number, turn: number): Announcement {
  const cards = Array.from({ length: models }, (_, at): ModelCard => {
    const loaded = at < 3;
    const digest = String(at).padStart(64, 'a');
    const change = loaded ? { heat: ((turn + at) % 40) / 10, tokensPerS: 50 + (turn % 7) } : { evictable: false };
    return aCard({ name: `hf.co/somebody/model-${at}-gguf:q4_k_m`, loaded, digest, loadMs: 4_000 + at, ...change });
  });
  const known = Array.from({ length: hashes }, (_, at) => worker * 1e6 + (at < hashes / 10 ? turn * 1e7 : 0) + at);
  return {
    protocol: 1,
    worker: `w${worker}`,
    epoch: 'e',
    url: `http://10.0.0.${worker}:9401`,
    slots: 8,
    loadedMax: 3,
    state: 'ready',
    device: 'a GPU',
    prefixes: packHashes(known),
    models: cards,
  };
}

function measure(models: number): { bytes: number; us: number } {
  const log = createLog({ source: 'bench', level: 'error', clock: systemClock, write: () => {} });
  const roster = createRoster({ clock: systemClock, log });
  let [us, bytes] = [0, 0];
  for (let turn = 0; turn < turns; turn += 1) {
    const present = Array.from({ length: workers }, (_, at) => {
      // As it comes from a socket: a text of its own, flat, with no hash yet.
      const text = Buffer.from(writeAnnouncement(announcement(at, models, turn))).toString();
      return { worker: `w${at}`, announcement: text };
    });
    bytes = present[0]?.announcement.length ?? 0;
    const before = process.cpuUsage();
    roster.apply({ version: turn + 1, whole: false, present, gone: [] });
    const { user, system } = process.cpuUsage(before);
    if (turn >= turns / 3) us += user + system;
  }
  return { bytes, us: us / (workers * Math.floor((turns * 2) / 3)) };
}

for (const models of [3, 100, 1_000]) {
  const { bytes, us } = measure(models);
  console.log(`${models} models: ${(bytes / 1_024).toFixed(0)} KiB, ${us.toFixed(0)} µs of processor time`);
}
