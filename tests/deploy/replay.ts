// What a container engine would do, with Linux's own means: each image's steps are replayed in a layer over this machine's
// files, and each service of compose.yaml runs in it with the user, rights, environment and volumes that it has there.
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, cp, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../e2e/berth.ts';
import type { Service } from './checkers.ts';
import { imageOf, stagesOf } from './dockerfile.ts';
import type { Image, Step } from './dockerfile.ts';

const run = promisify(execFile);

/** Root's rights and an overlay are needed; where they are missing the test says so and is skipped. */
export async function whyNotReplay(): Promise<string | null> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return 'needs Linux and root, to mount as an engine would';
  const folder = await mkdtemp(join(tmpdir(), 'berth-overlay-'));
  await Promise.all(['up', 'work', 'root'].map((name) => mkdir(join(folder, name))));
  const mount = `mount -t overlay overlay -o lowerdir=/,upperdir=${folder}/up,workdir=${folder}/work ${folder}/root`;
  const tried = await run('unshare', [
    '--mount',
    '--net',
    'sh',
    '-c',
    `${mount} && command -v ip setpriv chroot nsenter`,
  ]).then(
    () => null,
    (error: Error) => `cannot mount an overlay, or lacks a program: ${error.message}`,
  );
  await rm(folder, { recursive: true, force: true });
  return tried;
}

export interface Started {
  readonly output: string;
  readonly ended: Promise<number | string>;
  kill(signal: NodeJS.Signals): void;
}

export interface Built {
  image: Image;
  /** The image's files, above this machine's. */
  layer: string;
}

/** Where services are started: one network of their own, volumes as Docker would make them. */
export async function anEngine() {
  const folder = await mkdtemp(join(tmpdir(), 'berth-replay-'));
  const base = join(folder, 'node');
  await mkdir(join(base, 'usr/local/bin'), { recursive: true });
  // The base image's Node; everything else of it is taken to be as on this machine.
  await cp(process.execPath, join(base, 'usr/local/bin/node'));
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up && echo up && exec sleep 3600'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  const children: ChildProcess[] = [];
  const endWithUs = () => [...children, holder].forEach((child) => child.kill('SIGKILL'));
  process.once('exit', endWithUs);
  let count = 0;

  // Debian's programs stay at hand, also when this checkout lies below /tmp.
  const programs = join(root, '.cache/debian');
  await mkdir(programs, { recursive: true });

  /** A script that lays a folder over this machine's files, as the root of what it runs then. */
  const inside = async (upper: string, mounts: string, command: string): Promise<string> => {
    const own = join(folder, `run-${++count}`);
    await Promise.all(['work', 'root'].map((name) => mkdir(join(own, name), { recursive: true })));
    return `set -e
mount --make-rprivate /
R=${own}/root
mount -t overlay overlay -o lowerdir=/,upperdir=${upper},workdir=${own}/work $R
mount --rbind /dev $R/dev && mount -t proc proc $R/proc && mount -t tmpfs -o mode=1777 tmpfs $R/tmp
mkdir -p $R${programs} && mount --bind ${programs} $R${programs}
${mounts}
exec chroot $R ${command}`;
  };

  /** What it writes stays in the layer. */
  const step = async (layer: string, command: string): Promise<void> => {
    const script = await inside(layer, '', `env -C /app sh -c ${quoted(command)}`);
    await run('unshare', ['--mount', 'bash', '-c', script], { maxBuffer: 2 ** 24 });
  };

  return {
    folder,
    /** @param packages folder whose node_modules stand for what `npm ci` of the stage would install, hard-linked */
    async build(text: string, target?: string, packages?: string): Promise<Built> {
      const image = imageOf(text, target);
      const stages = stagesOf(text);
      const layers = new Map<string, string>();
      const layerOf = async (name: string): Promise<string> => {
        const known = layers.get(name);
        if (known !== undefined) return known;
        const stage = stages.find((it) => it.name === name);
        if (!stage) throw new Error(`no stage ${name}`);
        const layer = join(folder, `layer-${++count}`);
        layers.set(name, layer);
        await mkdir(join(layer, 'app'), { recursive: true });
        await run('cp', ['-al', `${base}/.`, layer]);
        if (stages.some((it) => it.name === stage.from))
          await run('cp', ['-al', `${await layerOf(stage.from)}/.`, layer]);
        for (const it of stage.steps) await replay(it, layer);
        return layer;
      };
      const replay = async ({ name, args }: Step, layer: string): Promise<void> => {
        if (name === 'COPY') {
          const [, from, rest = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(args) ?? [];
          const paths = rest.split(/ +/);
          const to = paths.pop() ?? '';
          for (const source of paths) {
            const path = from === undefined ? join(root, source) : join(await layerOf(from), resolve('/app', source));
            const intoFolder = to.endsWith('/');
            const target = join(layer, resolve('/app', to), intoFolder ? (source.split('/').at(-1) ?? '') : '');
            await mkdir(dirname(target), { recursive: true });
            await (from === undefined ? copyContext(path, target) : run('cp', ['-al', path, target]));
          }
        } else if (name === 'RUN') {
          // The cache of a build is this machine's own.
          const command = args.replaceAll(/--mount=\S+ /g, '').replace(' --cache /npm', '');
          const linked = packages !== undefined && command.startsWith('npm ci');
          if (linked) await run('cp', ['-al', packages, join(layer, 'app/node_modules')]);
          else await step(layer, command);
        }
      };
      const last = target ?? 'last';
      const final = stages.at(-1);
      if (target === undefined && final) final.name = last;
      return { image, layer: await layerOf(last) };
    },
    /** @param address of its own in the network; the names of the others lead to theirs */
    async start(
      service: Service,
      { image, layer }: { image: Pick<Image, 'env' | 'user' | 'entrypoint' | 'command'>; layer: string | null },
      more: { hosts: string; env?: Record<string, string>; command?: string[] },
    ): Promise<Started> {
      const { volumes = [], environment = {}, command, user, group_add = [] } = service;
      const mounts: string[] = [];
      for (const volume of volumes) {
        const [source = '', to = '', mode = 'rw'] = volume.split(':');
        const path = /^[./]/.test(source) ? resolve(root, 'deploy', source) : await volumeOf(folder, source, layer, to);
        const isFolder = (await stat(path)).isDirectory();
        mounts.push(
          isFolder ? `mkdir -p $R${to}` : `mkdir -p $R${dirname(to)} && touch $R${to}`,
          `mount --bind ${path} $R${to}`,
        );
        if (mode === 'ro') mounts.push(`mount -o remount,bind,ro $R${to}`);
      }
      const hosts = join(folder, 'hosts');
      await writeFile(hosts, more.hosts);
      mounts.push(`mount --bind ${hosts} $R/etc/hosts`, 'mount -o remount,ro $R');
      const [uid = '0', gid = '0'] = (user ?? image.user).split(':');
      const groups = group_add.length > 0 ? `--groups=${group_add.join(',')}` : '--clear-groups';
      const rights = `setpriv --reuid=${uid} --regid=${gid} ${groups} --bounding-set=-all --inh-caps=-all --no-new-privs`;
      const env = {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        ...image.env,
        ...environment,
        ...more.env,
      };
      const words = more.command ?? [...image.entrypoint, ...(command ?? image.command)];
      const set = Object.entries(env).map(([name, value]) => quoted(`${name}=${value}`));
      const at = layer === null ? '/' : '/app';
      const start = `env -i -C ${at} ${set.join(' ')} ${words.map(quoted).join(' ')}`;
      const upper = join(folder, `up-${++count}`);
      // Links, so that nothing that a run writes or mounts reaches the image.
      await run('cp', ['-al', `${layer ?? base}/.`, upper]);
      const script = await inside(upper, mounts.join('\n'), `${rights} ${start}`);
      const args = [`--net=/proc/${holder.pid}/ns/net`, 'unshare', '--mount', 'bash', '-c', script];
      const child = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'pipe'] });
      children.push(child);
      const said = { text: '' };
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => (said.text += String(piece)));
      return {
        get output() {
          return said.text;
        },
        ended: once(child, 'close').then(([code, signal]) => (signal ?? code) as number | string),
        kill: (signal) => void child.kill(signal),
      };
    },
    /** Runs a program of Node's in the network, and gives what it prints. */
    async look(program: string): Promise<string> {
      const args = [`--net=/proc/${holder.pid}/ns/net`, process.execPath, '--input-type=module', '-e', program];
      const { stdout } = await run('nsenter', args, { timeout: 30_000 });
      return stdout;
    },
    async [Symbol.asyncDispose]() {
      process.off('exit', endWithUs);
      const running = [...children, holder].filter(
        ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
      );
      await Promise.all(running.map((child) => (child.kill('SIGKILL'), once(child, 'close'))));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A volume's folder; the first that mounts it gives it owner and mode of its own folder there, as Docker does. */
async function volumeOf(folder: string, name: string, layer: string | null, to: string): Promise<string> {
  const path = join(folder, `volume-${name}`);
  if (await stat(path).catch(() => null)) return path;
  await mkdir(path);
  const there = layer === null ? null : await stat(join(layer, to)).catch(() => null);
  await chmod(path, there ? there.mode & 0o7777 : 0o755);
  // Redis' own image has /data for its user.
  await (there ? chown(path, there.uid, there.gid) : chown(path, 999, 1000));
  return path;
}

/** As a build copies: what git would check out, without what .dockerignore leaves out, owned by root. */
async function copyContext(from: string, to: string): Promise<void> {
  await cp(from, to, {
    recursive: true,
    filter: (path) => !/\/(node_modules|\.berth)(\/|$)/.test(path.slice(root.length)),
  });
}

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;
