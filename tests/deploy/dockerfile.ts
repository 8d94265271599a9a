// A Dockerfile as its steps, as far as ours go: what an image is made of, and how it is started.

export interface Step {
  /** In capitals, e.g. `COPY`. */
  name: string;
  args: string;
}

export interface Stage {
  /** An image, or the name of a stage before. */
  from: string;
  name: string;
  steps: Step[];
}

interface Copy {
  /** The stage that it comes from; `null` = the build's context. */
  from: string | null;
  sources: string[];
  to: string;
}

export interface Image {
  /** Stages from the base up to this one: its steps are theirs, one after the other. */
  steps: Step[];
  copies: Copy[];
  env: Record<string, string>;
  user: string;
  entrypoint: string[];
  command: string[];
  healthcheck: string[];
  stopSignal: string;
  labels: string;
}

export function stagesOf(text: string): Stage[] {
  const joined = text.replaceAll(/^#.*\n/gm, '').replaceAll(/\\\n\s*/g, '');
  const stages: Stage[] = [];
  for (const line of joined.split('\n').filter((it) => it.trim() !== '')) {
    const [, name = '', args = ''] = /^([A-Z]+) +(.*)$/.exec(line) ?? [];
    if (name === '') throw new Error(`this is no step of a Dockerfile: ${line}`);
    const [from = '', as = ''] = args.split(/ AS /i);
    if (name === 'FROM') stages.push({ from, name: as, steps: [] });
    else stages.at(-1)?.steps.push({ name, args });
  }
  return stages;
}

/** @param target name of a stage; the last one unless given */
export function imageOf(text: string, target?: string): Image {
  const stages = stagesOf(text);
  const of = (name: string): Stage | undefined => stages.find((it) => it.name === name);
  const chain: Stage[] = [];
  let stage = target === undefined ? stages.at(-1) : of(target);
  for (; stage; stage = of(stage.from)) chain.unshift(stage);
  const steps = chain.flatMap((it) => it.steps);
  const last = (name: string): string => steps.findLast((it) => it.name === name)?.args ?? '';
  const words = (json: string): string[] => (json === '' ? [] : (JSON.parse(json) as string[]));
  return {
    steps,
    copies: steps.filter(({ name }) => name === 'COPY').map(({ args }) => copyOf(args)),
    env: Object.assign({}, ...steps.filter(({ name }) => name === 'ENV').map(({ args }) => envOf(args))) as Record<
      string,
      string
    >,
    user: last('USER'),
    entrypoint: words(last('ENTRYPOINT')),
    command: words(last('CMD')),
    healthcheck: words(/CMD (\[.*\])$/.exec(last('HEALTHCHECK'))?.[1] ?? ''),
    stopSignal: last('STOPSIGNAL'),
    labels: last('LABEL'),
  };
}

function copyOf(args: string): Copy {
  const [, from = null, rest = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(args) ?? [];
  const paths = rest.split(/ +/);
  return { from, sources: paths.slice(0, -1), to: paths.at(-1) ?? '' };
}

function envOf(args: string): Record<string, string> {
  return Object.fromEntries([...args.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]));
}
