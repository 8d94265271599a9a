// How a dashboard is declared, and what Grafana reads of it. Pure.

export interface Query {
  expr: string;
  /** Of each series, with labels as `{{model}}`. */
  legend: string;
}

interface Panel {
  title: string;
  /** The question that it answers, shown above the plot. */
  question: string;
  kind: 'timeseries' | 'bargauge' | 'stat' | 'table';
  /** As Grafana calls it: `s`, `reqps`, `percentunit`, `bytes`. */
  unit: string;
  queries: Query[];
  /** Where there is data: everywhere unless it is said. */
  only?: 'gpu';
  /** Of the 24 columns of a row. */
  width?: number;
}

export interface Dashboard {
  /** Its file's name and its address in Grafana. */
  uid: string;
  title: string;
  /** The question of the whole page. */
  question: string;
  panels: Panel[];
}

const columns = 24;
const questionRows = 2;
const plotRows = 8;
const datasource = { type: 'prometheus', uid: '${datasource}' };

/** Panels from left to right, each below its question. */
export function grafanaJson({ uid, title, question, panels }: Dashboard): object {
  const placed: object[] = [];
  let [x, y] = [0, 0];
  for (const panel of panels) {
    const w = panel.width ?? columns / 2;
    if (x + w > columns) [x, y] = [0, y + questionRows + plotRows];
    placed.push(questionOf(panel, { h: questionRows, w, x, y }));
    placed.push(plotOf(panel, { h: plotRows, w, x, y: y + questionRows }));
    x += w;
  }
  return {
    uid,
    title,
    description: question,
    tags: ['berth'],
    editable: true,
    schemaVersion: 39,
    refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    templating: { list: [{ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' }] },
    panels: placed.map((panel, id) => ({ id: id + 1, ...panel })),
  };
}

interface Place {
  h: number;
  w: number;
  x: number;
  y: number;
}

function questionOf({ question, only }: Panel, gridPos: Place): object {
  const content = only === 'gpu' ? `${question} (GPUs only)` : question;
  return { type: 'text', title: '', transparent: true, gridPos, options: { mode: 'markdown', content } };
}

function plotOf({ title, question, kind, unit, queries, only }: Panel, gridPos: Place): object {
  const atOnce = kind === 'bargauge' || kind === 'stat' || kind === 'table';
  return {
    type: kind,
    title,
    description: question,
    gridPos,
    datasource,
    ...(only && { berthOnly: only }),
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    options: optionsOf(kind),
    targets: queries.map(({ expr, legend }, index) => ({
      refId: String.fromCodePoint(65 + index),
      datasource,
      expr,
      legendFormat: legend,
      instant: atOnce,
      range: !atOnce,
      ...(kind === 'table' && { format: 'table' }),
    })),
  };
}

function optionsOf(kind: Panel['kind']): object {
  const last = { calcs: ['lastNotNull'], values: false };
  if (kind === 'bargauge') return { orientation: 'horizontal', displayMode: 'gradient', reduceOptions: last };
  if (kind === 'stat') return { reduceOptions: last, colorMode: 'value' };
  if (kind === 'timeseries')
    return { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } };
  return {};
}
