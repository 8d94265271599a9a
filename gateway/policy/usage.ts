// What each key has used in each month: rows that only this gateway counts up, and the sum over all gateways.
import { isObject } from '@berth/shared/dialects/check.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import type { UsageRow } from '@berth/shared/usage.ts';
import type { Registers } from './registers.ts';

export interface Row extends UsageRow {
  lastUsedMs: number;
}

export interface Usage {
  /** @param tokens what counts against the budget: more than the settlement's where none came */
  count(owner: { key: string; team: string }, settlement: Settlement | null, tokens: number, slotSeconds: number): void;
  tokensThisMonth(key: string): number;
  /** Over all gateways, latest month first. */
  rows(): Row[];
}

type Counted = Pick<Row, (typeof counted)[number]> & { team: string; tokens: number; lastUsedMs: number };

const counted = ['requests', 'promptTokens', 'cachedTokens', 'outputTokens', 'slotSeconds'] as const;
const monthsMax = 13;

/** Names are `month node key`. @param node this gateway's name, which it has again after a restart */
export function createUsage({ registers, clock, node }: { registers: Registers; clock: Clock; node: string }): Usage {
  const monthOf = (ms: number) => new Date(ms).toISOString().slice(0, 7);
  const rowOf = (name: string) => registers.get(name)?.value as Counted | undefined;

  return {
    count({ key, team }, settlement, tokens, slotSeconds) {
      const nowMs = clock.now();
      const name = `${monthOf(nowMs)} ${node} ${key}`;
      const old = rowOf(name);
      const value: Counted = {
        team,
        requests: (old?.requests ?? 0) + 1,
        promptTokens: (old?.promptTokens ?? 0) + (settlement?.promptTokens ?? 0),
        cachedTokens: (old?.cachedTokens ?? 0) + (settlement?.cachedTokens ?? 0),
        outputTokens: (old?.outputTokens ?? 0) + (settlement?.outputTokens ?? 0),
        slotSeconds: (old?.slotSeconds ?? 0) + slotSeconds,
        tokens: (old?.tokens ?? 0) + tokens,
        lastUsedMs: nowMs,
      };
      registers.put(name, { revision: (registers.get(name)?.revision ?? 0) + 1, value });
    },
    tokensThisMonth(key) {
      const month = monthOf(clock.now());
      let sum = 0;
      for (const [name, { value }] of registers.entries()) {
        if (name.startsWith(month) && name.endsWith(` ${key}`)) sum += (value as Counted).tokens;
      }
      return sum;
    },
    rows() {
      const rows = new Map<string, Row>();
      for (const [name, { value }] of registers.entries()) {
        const [month = '', , key = ''] = name.split(' ');
        const more = value as Counted;
        const at = `${month} ${key} ${more.team}`;
        const row = rows.get(at) ?? { ...nothing, month, key, team: more.team };
        for (const what of counted) row[what] += more[what];
        row.lastUsedMs = Math.max(row.lastUsedMs, more.lastUsedMs);
        rows.set(at, row);
      }
      return [...rows.values()].sort((a, b) => (sortKey(a) < sortKey(b) ? 1 : -1));
    },
  };
}

const nothing = { requests: 0, promptTokens: 0, cachedTokens: 0, outputTokens: 0, slotSeconds: 0, lastUsedMs: 0 };

function sortKey({ month, team, key }: Row): string {
  return `${month} ${team} ${key}`;
}

/** Months that are kept: the last thirteen, so that a year can be compared. */
export function isKept(name: string, nowMs: number): boolean {
  const [year = 0, month = 0] = name.slice(0, 7).split('-').map(Number);
  const now = new Date(nowMs);
  const ageMonths = (now.getUTCFullYear() - year) * 12 + now.getUTCMonth() + 1 - month;
  return ageMonths < monthsMax;
}

/** @throws Error when it is no row */
export function checkRow(value: unknown): void {
  const numbers = [...counted, 'tokens', 'lastUsedMs'];
  const right =
    isObject(value) &&
    typeof value['team'] === 'string' &&
    numbers.every((name) => typeof value[name] === 'number' && value[name] >= 0);
  if (!right) throw new Error('it is no row of usage');
}
