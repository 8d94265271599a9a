// The smallest valid inputs of the ledger; a test names only what it is about.
import type { Beat, Claim, Leave, RunningLease, Session, Take } from '@berth/shared/ledger/ledger.ts';

let made = 0;
/** An id that no other test uses. */
export const anId = (): string => `id-${++made}`;

export const aTake = (some: Partial<Take> = {}): Take => ({
  id: anId(),
  gateway: 'g1',
  model: 'llama',
  priority: 1,
  team: 'red',
  key: 'ann',
  weight: 1,
  cost: 1,
  age: null,
  waitingMax: 512,
  waitingPerKeyMax: 512,
  slack: 0,
  prefer: [],
  exclude: [],
  ...some,
});

export const aBeat = (some: Partial<Beat> = {}): Beat => ({
  worker: 'w1',
  epoch: 'e1',
  boot: false,
  last: false,
  capacity: 1,
  weight: 1,
  serves: ['llama'],
  running: [],
  announcement: '{}',
  ...some,
});

export const aClaim = (some: Partial<Claim> = {}): Claim => ({
  gateway: 'g1',
  model: 'cold',
  worker: 'w1',
  epoch: 'e1',
  victim: '',
  rosterVersion: Number.MAX_SAFE_INTEGER,
  servers: 0,
  ...some,
});

export const aSession = (some: Partial<Session> = {}): Session => ({
  gateway: 'g1',
  tickets: [],
  rosterVersion: 0,
  ...some,
});

export const aLeave = (id: string, some: Partial<Leave> = {}): Leave => ({ id, actual: null, refused: false, ...some });

export const running = (id: string, some: Partial<RunningLease> = {}): RunningLease => ({
  id,
  model: 'llama',
  team: 'red',
  key: 'ann',
  gateway: 'g1',
  ...some,
});
