// What the doctor found, and what to do about it.

export interface Finding {
  subject: string;
  state: 'good' | 'warning' | 'problem';
  found: string;
  /** What to do; only where something is not good. */
  advice?: string;
}

export function good(subject: string, found: string): Finding {
  return { subject, state: 'good', found };
}

export function warning(subject: string, found: string, advice: string): Finding {
  return { subject, state: 'warning', found, advice };
}

export function problem(subject: string, found: string, advice: string): Finding {
  return { subject, state: 'problem', found, advice };
}

/** Bytes as people read them. */
export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 2 ** (10 * step);
  return `${value >= 100 || step === 0 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}
