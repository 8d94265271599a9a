// The dashboard's picture in the README: the panels' own queries, asked of a real Prometheus, drawn by a page of our own.
// Grafana is not in Debian; what is drawn here has its data and its order of panels, and not its looks.
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { bottleneck } from '../../deploy/grafana/bottleneck.ts';
import { aFolder } from '../e2e/berth.ts';
import { writeGguf } from '../models/gguf.ts';
import { randomModel } from '../models/random.ts';
import { busy, observed } from '../observability/observed.ts';
import type { Observed } from '../observability/observed.ts';
import { startRedis } from '../tools/redis.ts';

type Panel = (typeof bottleneck)['panels'][number];
interface Series {
  name: string;
  points: [seconds: number, value: number][];
}

const shape = { parameters: 15e6, vocabulary: 12_800, context: 4_096, type: 'q8_0', ends: false } as const;
/** As in the tests, rates are taken over seconds and not minutes, so that a minute has something to show. */
const window = '4s';
const names = ['one', 'two', 'three'];
/** Panels of the first rows. */
const shown = 9;

export async function takeDashboard(browser: Browser, folder: string): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const files = stack.use(await aFolder());
  const [first = '', ...others] = names.map((name) => join(files.path, `${name}.gguf`));
  writeGguf(first, randomModel({ ...shape, name: 'random', seed: 1 }));
  for (const path of others) await copyFile(first, path);
  const env = { MODELS_DIR: files.path, NUM_PARALLEL: '2', MAX_LOADED_MODELS: '1', CONTEXT_LENGTH: '4096' };
  const workers = ['w1', 'w2'].map((id) => ({ ...env, PROMPT_CACHE_BYTES: '0', WORKER_ID: id }));
  const pool = stack.use(await observed(redis.url, workers));
  const ask = (model: string, turn: number) => pool.ask(model, `Tell me of slots. ${turn}`, { max_tokens: 60 });
  const fromS = Date.now() / 1_000;
  await during(
    20,
    busy(2, (turn) => ask('one', turn)),
  );
  await during(
    25,
    busy(3, (turn) => ask(names[turn % names.length] ?? '', turn)),
  );
  await during(
    8,
    busy(2, (turn) => ask('one', turn)),
  );
  const load = busy(16, (turn) => ask('one', turn));
  await during(25, { [Symbol.asyncDispose]: async () => {} });
  const panels = await Promise.all(
    bottleneck.panels
      .slice(0, shown)
      .map(async (panel) => drawn(panel, await seriesOf(pool, panel, fromS, Date.now() / 1_000))),
  );
  await load[Symbol.asyncDispose]();
  const page = await browser.newPage({ viewport: { width: 1280, height: 400 } });
  await page.setContent(documentOf(panels));
  await page.locator('main').screenshot({ path: join(folder, 'bottleneck.png') });
  await page.close();
}

async function during(seconds: number, load: AsyncDisposable): Promise<void> {
  await using _load = load;
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
}

async function seriesOf(pool: Observed, { queries, kind }: Panel, fromS: number, untilS: number): Promise<Series[]> {
  const asked = queries.map(async ({ expr, legend }) => {
    const query = encodeURIComponent(expr.replaceAll('$__rate_interval', window));
    const range = `query=${query}&start=${fromS}&end=${untilS}&step=1`;
    const answer = (await pool.prometheus.get(`/api/v1/query_range?${range}`)) as Answer;
    if (answer.status !== 'success') throw new Error(`${expr}: ${answer.error}`);
    return answer.data.result.map(({ metric, values }) => ({
      name: legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '').trim(),
      points: values.map(([at, value]): [number, number] => [at - fromS, Number(value)]),
    }));
  });
  // What only says that there is nothing (`or vector(0)`) has no name.
  const all = (await Promise.all(asked)).flat().filter(({ name }) => name !== '' && !name.endsWith(':'));
  const last = ({ points }: Series) => points.at(-1)?.[1] ?? 0;
  return kind === 'bargauge' ? all.toSorted((a, b) => last(b) - last(a)) : all;
}

interface Answer {
  status: string;
  error?: string;
  data: { result: { metric: Record<string, string>; values: [number, string][] }[] };
}

const colors = ['#0072b2', '#d98c00', '#009e73', '#c2669a', '#56b4e9', '#8a5a2b', '#546170', '#b3410a'];
const [width, height] = [560, 120];
const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

function drawn(panel: Panel, series: Series[]): string {
  const body = panel.kind === 'bargauge' ? bars(series, panel.unit) : lines(series, panel.unit);
  const question = escaped(panel.question).replace(/\*\*(.*?)\*\*/, '<b>$1</b>');
  return `<section class="${panel.width === 24 ? 'wide' : ''}"><h2>${escaped(panel.title)}</h2><p>${question}</p>${body}</section>`;
}

function bars(series: Series[], unit: string): string {
  const rows = series.slice(0, 7).map(({ name, points }) => ({ name, value: points.at(-1)?.[1] ?? 0 }));
  const top = Math.max(1e-9, ...rows.map(({ value }) => value), unit === 'percentunit' ? 1 : 0);
  const row = ({ name, value }: { name: string; value: number }) =>
    `<div class="bar"><span>${escaped(name)}</span><i><b style="width:${(100 * value) / top}%"></b></i><em>${inUnit(value, unit)}</em></div>`;
  return rows.map(row).join('');
}

function lines(series: Series[], unit: string): string {
  const finite = series.map((each) => ({ ...each, points: each.points.filter(([, value]) => Number.isFinite(value)) }));
  const all = finite.flatMap(({ points }) => points);
  const top = Math.max(1e-9, ...all.map(([, value]) => value));
  const endS = Math.max(1, ...all.map(([at]) => at));
  const path = ({ points }: Series) =>
    points.map(
      ([at, value]) => `${((at / endS) * width).toFixed(1)} ${(height - 2 - (value / top) * (height - 8)).toFixed(1)}`,
    );
  const paths = finite.map((each, at) => `<path d="M${path(each).join('L')}" stroke="${colors[at % colors.length]}"/>`);
  const legend = finite
    .slice(0, 8)
    .map(({ name }, at) => `<li><s style="background:${colors[at % colors.length]}"></s>${escaped(name)}</li>`);
  const axis = `<path d="M0 ${height - 1}H${width}M0 4H${width}" stroke="#d8dee5" stroke-width="1"/>`;
  return `<div class="top">${inUnit(top, unit)}</div><svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none">${axis}${paths.join('')}</svg><div class="time"><span>0 s</span><span>${Math.round(endS)} s</span></div><ul>${legend.join('')}</ul>`;
}

function inUnit(value: number, unit: string): string {
  if (unit === 'percentunit') return `${Math.round(value * 100)} %`;
  if (unit === 's') return value < 1 ? `${(value * 1_000).toPrecision(2)} ms` : `${value.toPrecision(2)} s`;
  const number = value >= 100 ? Math.round(value) : Number(value.toPrecision(2));
  return unit === 'reqps' ? `${number} per s` : String(number);
}

function documentOf(panels: string[]): string {
  const style = `*{box-sizing:border-box;margin:0}body{font:13px/1.4 'DejaVu Sans',sans-serif;color:#17212b}
main{display:grid;grid-template-columns:1fr 1fr;gap:10px;padding:16px;background:#f4f6f8;width:1280px}
header{grid-column:span 2}h1{font-size:19px}header p,section p{color:#546170}
section{background:#fff;border:1px solid #d8dee5;border-radius:8px;padding:10px 14px;min-width:0}.wide{grid-column:span 2}
h2{font-size:14px}section p{font-size:12px;margin-bottom:6px}section p b{color:#17212b}
svg{width:100%;height:96px;display:block}path{fill:none;stroke-width:1.6;vector-effect:non-scaling-stroke}
.top,.time{font-size:11px;color:#546170;display:flex;justify-content:space-between}
ul{list-style:none;padding:4px 0 0;display:flex;flex-wrap:wrap;gap:2px 14px;font-size:11.5px}s{display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:5px}
.bar{display:grid;grid-template-columns:130px 1fr 70px;gap:10px;align-items:center;margin:4px 0}.bar i{height:12px;background:#eef1f4;border-radius:3px;overflow:hidden}
.bar i b{display:block;height:100%;background:#0b63b0}.bar em{font-style:normal;text-align:right;font-weight:600}`;
  const head = `<header><h1>${escaped(bottleneck.title)}</h1><p>${escaped(bottleneck.question)}</p></header>`;
  return `<!doctype html><style>${style}</style><main>${head}${panels.join('')}</main>`;
}
