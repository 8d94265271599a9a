// Plots as SVG: lines over a logarithmic axis, and bars. Plain enough to be read in a diff.

interface Line {
  name: string;
  points: readonly (readonly [x: number, y: number])[];
}

const [width, height, left, bottom, top] = [640, 300, 60, 40, 30];
const colors = ['#1b7f5c', '#c0392b', '#7f8c8d', '#2c6fbb'];
const style = '<style>text{font:12px sans-serif;fill:#333}.axis{stroke:#999}.grid{stroke:#e5e5e5}</style>';

/** @param xs ticks, from the least to the largest */
export function linePlot(title: string, axis: string, xs: readonly number[], lines: readonly Line[]): string {
  const [least = 1, most = 10] = [xs[0], xs.at(-1)];
  const x = (value: number) =>
    left +
    ((Math.log(Math.max(value, least)) - Math.log(least)) / (Math.log(most) - Math.log(least))) * (width - left - 20);
  const y = (value: number) => height - bottom - value * (height - bottom - top);
  const ticks = xs.map(
    (value) =>
      `<line class="grid" x1="${x(value).toFixed(1)}" y1="${top}" x2="${x(value).toFixed(1)}" y2="${height - bottom}"/><text x="${x(value).toFixed(1)}" y="${height - bottom + 16}" text-anchor="middle">${value}</text>`,
  );
  const levels = [0, 0.25, 0.5, 0.75, 1].map(
    (value) => `<text x="${left - 8}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${value * 100} %</text>`,
  );
  const drawn = lines.map(({ name, points }, at) => {
    const path = points.map(([px, py]) => `${x(Math.min(px, most)).toFixed(1)},${y(py).toFixed(1)}`).join(' ');
    return `<polyline fill="none" stroke-width="2" stroke="${colors[at]}" points="${path}"/><text x="${left + 10}" y="${top + 14 + at * 16}" style="fill:${colors[at]}">${name}</text>`;
  });
  return frame(title, axis, [...ticks, ...levels, ...drawn]);
}

export function barPlot(title: string, axis: string, bars: readonly { name: string; value: number }[]): string {
  const most = Math.max(...bars.map(({ value }) => value), 1e-9);
  const step = (width - left - 20) / bars.length;
  const drawn = bars.map(({ name, value }, at) => {
    const tall = (value / most) * (height - bottom - top - 20);
    const [x, y] = [left + at * step + step * 0.2, height - bottom - tall];
    const middle = (x + step * 0.3).toFixed(1);
    return `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${(step * 0.6).toFixed(1)}" height="${tall.toFixed(1)}" fill="${colors[at % colors.length]}"/><text x="${middle}" y="${(y - 5).toFixed(1)}" text-anchor="middle">${Number(value.toPrecision(3))}</text><text x="${middle}" y="${height - bottom + 16}" text-anchor="middle">${name}</text>`;
  });
  return frame(title, axis, drawn);
}

function frame(title: string, axis: string, parts: readonly string[]): string {
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}">`,
    style,
    '<rect width="100%" height="100%" fill="#fff"/>',
    `<text x="${left}" y="18" style="font-weight:bold">${title}</text>`,
    ...parts,
    `<line class="axis" x1="${left}" y1="${height - bottom}" x2="${width - 20}" y2="${height - bottom}"/>`,
    `<text x="${(width + left) / 2}" y="${height - 6}" text-anchor="middle">${axis}</text>`,
    '</svg>',
  ];
  return `${lines.join('\n')}\n`;
}
