// The curve of a bench as an SVG: how fast all are together, and how fast each user is, by requests at a time. Pure.

export interface Point {
  /** Requests at a time. */
  parallel: number;
  /** Tokens a second of all together, and of a user; `null` = not measured. */
  all: number;
  user: number | null;
}

const [width, height] = [770, 380];
const area = { top: 92, height: 220, width: 300 };

/** @param about what was measured, for the line below the title */
export function plotCurve(points: readonly Point[], about: string): string {
  const sorted = points.toSorted((a, b) => a.parallel - b.parallel);
  const users = sorted.flatMap(({ parallel, user }) => (user === null ? [] : [{ x: parallel, y: user }]));
  const all = sorted.map(({ parallel, all }) => ({ x: parallel, y: all }));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="20" y="26" font-size="16" font-weight="600">Tokens a second</text>`,
    `<text x="20" y="44" fill="#666">${escaped(about)}</text>`,
    panel(60, 'all together', '#1769aa', all),
    panel(440, 'each user', '#b3541e', users),
    '</svg>',
    '',
  ].join('\n');
}

interface Spot {
  x: number;
  y: number;
}

function panel(left: number, title: string, colour: string, spots: readonly Spot[]): string {
  const bottom = area.top + area.height;
  const top = rounded(Math.max(1e-9, ...spots.map(({ y }) => y)));
  // By powers of two, as slots are chosen.
  const [first, last] = [Math.log2(spots[0]?.x ?? 1), Math.log2(spots.at(-1)?.x ?? 2)];
  const xOf = (x: number) => round(left + ((Math.log2(x) - first) / (last - first || 1)) * area.width);
  const yOf = (y: number) => round(bottom - (y / top) * area.height);
  const line = spots.map(({ x, y }) => `${xOf(x)},${yOf(y)}`).join(' ');
  return [
    `<text x="${left}" y="${area.top - 14}" font-weight="600" fill="${colour}">${title}</text>`,
    ...[0, 0.5, 1].map(
      (share) =>
        `<line x1="${left}" x2="${left + area.width}" y1="${yOf(share * top)}" y2="${yOf(share * top)}" stroke="#ddd"/>` +
        `<text x="${left - 6}" y="${yOf(share * top) + 4}" text-anchor="end">${round(share * top)}</text>`,
    ),
    `<text x="${left + area.width / 2}" y="${bottom + 40}" text-anchor="middle" fill="#666">requests at a time</text>`,
    `<polyline points="${line}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...spots.map(
      ({ x, y }) =>
        `<circle cx="${xOf(x)}" cy="${yOf(y)}" r="4" fill="${colour}"><title>${x}: ${round(y)}</title></circle>` +
        `<text x="${xOf(x)}" y="${bottom + 18}" text-anchor="middle">${x}</text>`,
    ),
  ].join('\n');
}

/** The next number above that people like on an axis. */
function rounded(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replace(/[<>&"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
