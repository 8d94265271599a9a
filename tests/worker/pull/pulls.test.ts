// Models are pulled into the store from a real server that breaks off, lies, leads elsewhere, dawdles, or fills the disk.
import { mkdir, mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { PullStatus } from '@berth/shared/dialects/catalog.ts';
import { silentLog } from '@berth/shared/log.ts';
import { modelFiles } from '../../../worker/models/files.ts';
import { partsOf } from '../../../worker/models/parts.ts';
import { removeModel } from '../../../worker/models/shelf.ts';
import { readStore } from '../../../worker/models/store.ts';
import { isPublic } from '../../../worker/pull/hosts.ts';
import { realDisk, reserveBytes } from '../../../worker/pull/layer.ts';
import type { Disk } from '../../../worker/pull/layer.ts';
import { createPulls } from '../../../worker/pull/pulls.ts';
import type { PullOptions, Pulls } from '../../../worker/pull/pulls.ts';
import { startRegistry } from '../../doubles/registry.ts';
import type { Registry } from '../../doubles/registry.ts';
import { gguf } from '../gguf-file.ts';

/** Waits pass a hundred times as fast. */
const hurried: Clock = { ...systemClock, after: (ms, action) => systemClock.after(ms / 100, action) };
const bytes = Buffer.concat([gguf(), Buffer.alloc(600_000, 'weights ')]);

let registry: Registry;
let folder = '';
let served: string[] = [];
beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-pull-'));
  served = [];
  registry.asked.splice(0);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const start = (more: Partial<PullOptions> = {}): Pulls =>
  createPulls({
    modelsDir: folder,
    hosts: [{ host: registry.host, plain: true }],
    hubUrl: `http://${registry.host}`,
    stallMs: 2_000,
    disk: realDisk,
    clock: hurried,
    log: silentLog,
    onPulled: async (name) => void served.push(name),
    ...more,
  });
const unaborted = () => new AbortController().signal;
let models = 0;
/** A model of its own for each test, as it is asked for. */
const aModel = (more: object = {}): { name: string; digest: string; file: Buffer } => {
  models += 1;
  const file = Buffer.concat([bytes, Buffer.from(String(models))]);
  const digest = registry.publish({ repository: `library/m${models}`, tag: 'latest', file, ...more });
  return { name: `${registry.host}/library/m${models}`, digest, file };
};
const blob = (digest: string) => join(folder, 'blobs', digest.replace(':', '-'));
const leftovers = async () => (await readdir(join(folder, 'blobs'))).filter((file) => /partial|lock/.test(file));

describe('a pull', () => {
  it('brings files and manifest into the store, and tells how far it is', async () => {
    const { name, digest, file } = aModel({ params: { temperature: 0.5 } });
    const told: PullStatus[] = [];
    await start().pull(name, (status) => told.push(status), unaborted());
    const hex = digest.slice(7, 19);
    const statuses = told.map(({ status }) => status);
    expect(statuses[0]).toBe('pulling manifest');
    expect(statuses.slice(-3)).toEqual(['verifying sha256 digest', 'writing manifest', 'success']);
    expect(told.findLast((each) => each.digest === digest)).toEqual({
      status: `pulling ${hex}`,
      digest,
      total: file.length,
      completed: file.length,
    });
    expect(await readFile(blob(digest))).toEqual(file);
    expect(served).toEqual([`${name}:latest`]);
    const [model] = (await readStore(folder))?.models ?? [];
    expect(model).toMatchObject({ name: `${name}:latest`, defaults: { sampling: { temperature: 0.5 } } });
    expect(await leftovers()).toEqual([]);
  });

  it('from a hub takes the file of the quantisation, by either way to write it', async () => {
    const one = { repository: 'owner/repo', hubFile: 'deep/Some-Model-Q4_K_M.gguf', file: Buffer.from(gguf()) };
    registry.publish({ ...one, tag: 'x' });
    registry.publish({ ...one, tag: 'y', hubFile: 'Some-Model-Q8_0.gguf', file: bytes });
    registry.publish({ ...one, tag: 'z', hubFile: 'Big-Q2_K-00001-of-00002.gguf', file: bytes });
    registry.publish({ ...one, tag: 'z', hubFile: 'Big-Q3_K-00002-of-00002.gguf', file: bytes });
    const pulls = start();
    await pulls.pull('hf:owner/repo:q8_0', () => {}, unaborted());
    await pulls.pull('hf.co/owner/repo', () => {}, unaborted());
    expect(served).toEqual(['hf.co/owner/repo:q8_0', 'hf.co/owner/repo:latest']);
    const sizes = (await readStore(folder))?.models.map(async ({ path }) => (await readFile(path)).length) ?? [];
    expect(await Promise.all(sizes)).toEqual([gguf().length, bytes.length]);
    const wanted = (tag: string) => pulls.pull(`hf.co/owner/repo:${tag}`, () => {}, unaborted());
    await expect(wanted('Q5_K_M')).rejects.toThrow(/no file of the quantisation Q5_K_M: there are Q4_K_M, Q8_0, Q2_K/);
    await expect(wanted('Q2_K')).rejects.toThrow(/cannot be put together: Big-Q2_K-00002-of-00002\.gguf is missing/);
    await expect(wanted('Q3_K')).rejects.toThrow(/no file of the quantisation Q3_K/);
  });

  it('from a hub puts a split model together: told as one file, each part resumed and held to its digest', async () => {
    const parts = ['a', 'b', 'c'].map((letter) => Buffer.concat([bytes, Buffer.from(letter)]));
    // The hub lists them in any order.
    const digests = [3, 1, 2].map((part) => {
      const file = parts[part - 1]!;
      const hubFile = `q/Big-Q4_K_M-0000${part}-of-00003.gguf`;
      return registry.publish({ repository: 'owner/split', tag: 'z', hubFile, file });
    });
    const told: PullStatus[] = [];
    registry.fault({ kind: 'breaks', afterBytes: 300_000 });
    await start().pull('hf:owner/split', (status) => told.push(status), unaborted());
    expect(registry.asked.filter(({ range }) => range !== '')).toHaveLength(1);
    const total = 3 * (bytes.length + 1);
    const ofParts = told.filter((each) => digests.includes(each.digest ?? ''));
    expect(new Set(ofParts.map(({ digest }) => digest))).toEqual(new Set([digests[1]]));
    const completed = ofParts.map((each) => each.completed ?? 0);
    expect([completed.at(-1), ofParts.at(-1)?.total]).toEqual([total, total]);
    const model = (await readStore(folder))!.models[0]!;
    expect(await Promise.all(partsOf(model.path).map((path) => readFile(path)))).toEqual(parts);
    // They are one model, and no others beside it.
    expect((await modelFiles(folder)).files).toEqual([model]);
    await removeModel(model, folder, new Set());
    expect(await readdir(join(folder, 'parts'))).toEqual([]);
    expect(await readdir(join(folder, 'blobs'))).toEqual([]);
  });

  it('of what is there and has not changed fetches nothing, and of what has changed takes the new and leaves nothing', async () => {
    const { name, digest } = aModel({ params: { top_k: 3 } });
    const pulls = start();
    await pulls.pull(name, () => {}, unaborted());
    registry.asked.splice(0);
    const told: PullStatus[] = [];
    await pulls.pull(name, (status) => told.push(status), unaborted());
    expect(registry.asked).toEqual([]);
    expect(told.at(-1)).toEqual({ status: 'success' });
    const repository = `library/m${models}`;
    const second = registry.publish({ repository, tag: 'latest', file: Buffer.concat([bytes, Buffer.from('new')]) });
    const before = await readFile(join(folder, 'manifests', registry.host, repository, 'latest'), 'utf8');
    const copied = join(folder, 'manifests/registry.ollama.ai/mine/copy/latest');
    await mkdir(dirname(copied), { recursive: true });
    await writeFile(copied, before);
    await pulls.pull(name, () => {}, unaborted());
    expect(await readFile(blob(second))).toHaveLength(bytes.length + 3);
    // A second name holds the old one.
    expect(await readFile(blob(digest))).toBeDefined();
    await rm(copied);
    registry.publish({ repository, tag: 'latest', file: bytes });
    await pulls.pull(name, () => {}, unaborted());
    await expect(readFile(blob(second))).rejects.toThrow('ENOENT');
    expect((await readStore(folder))?.models.map((model) => model.name)).toEqual([`${name}:latest`]);
  });

  it('whose source does not answer leaves what is there as it is, and says so', async () => {
    const { name, file, digest } = aModel();
    await start().pull(name, () => {}, unaborted());
    const told: PullStatus[] = [];
    await start({ hosts: [] }).pull(name, (status) => told.push(status), unaborted());
    const [, remark, last] = told;
    expect(remark).toMatchObject({ status: expect.stringMatching(/as it was.*PULL_HOSTS/), remark: true });
    expect(last).toEqual({ status: 'success' });
    expect(await readFile(blob(digest))).toEqual(file);
  });

  it('that breaks off goes on where it was, again and again', async () => {
    const { name, digest, file } = aModel();
    const breaks = { kind: 'breaks', afterBytes: 300_000 } as const;
    registry.fault(breaks, { kind: 'status', status: 503 }, breaks, { kind: 'begins anew' });
    await start().pull(name, () => {}, unaborted());
    expect(await readFile(blob(digest))).toEqual(file);
    // What a broken connection still held is lost with it: some of it has come all the same.
    const starts = registry.asked.map(({ range }) => Number(/\d+/.exec(range)?.[0] ?? 0));
    expect(starts).toHaveLength(5 - 1);
    expect(starts).toEqual(starts.toSorted((one, other) => one - other));
    expect(starts.at(-1)).toBeGreaterThan(0);
  });

  it('from a server that stands still gives up after some tries, and the next one goes on', async () => {
    const { name, digest, file } = aModel();
    const pulls = start({ stallMs: 150 });
    registry.fault(
      { kind: 'hangs', afterBytes: 50_000 },
      ...Array.from({ length: 6 }, () => ({ kind: 'hangs', afterBytes: 0 }) as const),
    );
    await expect(pulls.pull(name, () => {}, unaborted())).rejects.toThrow(
      /broke off 6 times.*nothing came for 0\.15 s/,
    );
    expect(pulls.problems()).toEqual([
      { model: `${name}:latest`, reason: expect.stringMatching(/the last pull of .* failed/) },
    ]);
    await pulls.pull(name, () => {}, unaborted());
    expect(registry.asked.at(-1)?.range).not.toBe('');
    expect(await readFile(blob(digest))).toEqual(file);
    expect(pulls.problems()).toEqual([]);
  });

  it('that all have left ends, and leaves what has come to the next one', async () => {
    const { name, digest } = aModel();
    registry.fault({ kind: 'hangs', afterBytes: 300_000 });
    const off = new AbortController();
    const pulls = start();
    const arrived = Promise.withResolvers<void>();
    const pull = pulls.pull(name, ({ completed = 0 }) => completed > 0 && arrived.resolve(), off.signal);
    pull.catch(() => undefined);
    await arrived.promise;
    off.abort(new Error('the client has gone'));
    await expect(pull).rejects.toThrow('the client has gone');
    const locks = async () => (await leftovers()).filter((file) => file.endsWith('lock'));
    await expect.poll(locks, { timeout: 10_000 }).toEqual([]);
    await pulls.pull(name, () => {}, unaborted());
    expect(registry.asked.at(-1)?.range).toMatch(/^bytes=\d+-$/);
    expect((await readFile(blob(digest))).length).toBeGreaterThan(600_000);
  });

  it('is one for all who want the model, in one worker and in several that share the folder', async () => {
    const { name, digest, file } = aModel();
    const [one, other] = [start(), start()];
    const told: string[][] = [[], [], []];
    await Promise.all([
      one.pull(name, ({ status }) => told[0]?.push(status), unaborted()),
      one.pull(name, ({ status }) => told[1]?.push(status), unaborted()),
      other.pull(name, ({ status }) => told[2]?.push(status), unaborted()),
    ]);
    expect(registry.asked.filter((each) => each.digest === digest)).toHaveLength(1);
    expect(told.map((statuses) => statuses.at(-1))).toEqual(['success', 'success', 'success']);
    expect(await readFile(blob(digest))).toEqual(file);
  });

  it('takes over from a worker that died in the middle of it', async () => {
    const { name, digest, file } = aModel();
    await mkdir(join(folder, 'blobs'), { recursive: true });
    await writeFile(`${blob(digest)}.lock`, '');
    await utimes(`${blob(digest)}.lock`, 1, 1);
    await writeFile(`${blob(digest)}.partial`, file.subarray(0, 1_000));
    await start().pull(name, () => {}, unaborted());
    expect(registry.asked.at(-1)?.range).toBe('bytes=1000-');
    expect(await readFile(blob(digest))).toEqual(file);
  });
});

it.each([
  ['8.8.8.8', true],
  ['2606:4700::1111', true],
  ['10.1.2.3', false],
  ['127.0.0.1', false],
  ['169.254.169.254', false],
  ['100.64.0.1', false],
  ['::1', false],
  ['fd00::1', false],
  ['fe80::1', false],
  ['::ffff:10.0.0.1', false],
  ['::ffff:8.8.8.8', true],
  ['64:ff9b::a00:1', false],
  ['no address', false],
])('whether %s is of the public internet: %s', (address, is) => {
  expect(isPublic(address)).toBe(is);
});

describe('what is wrong', () => {
  it('other bytes than promised are thrown away, and said', async () => {
    const { name, digest } = aModel({
      lie: Buffer.alloc(bytes.length + 1, 'x').subarray(0, bytes.length + String(models + 1).length),
    });
    await expect(start().pull(name, () => {}, unaborted())).rejects.toThrow(
      /other bytes than it promised: sha256:.* Pull again/,
    );
    expect(await leftovers()).toEqual([]);
    await expect(readFile(blob(digest))).rejects.toThrow('ENOENT');
    expect(served).toEqual([]);
  });

  it('more bytes than promised are not taken', async () => {
    const { name } = aModel({ lie: Buffer.alloc(2_000_000) });
    await expect(start().pull(name, () => {}, unaborted())).rejects.toThrow(/sends more than the \d+ bytes/);
  });

  it('a redirect to a private address is not followed, unless that host is named', async () => {
    const elsewhere = await startRegistry();
    const { name, digest, file } = aModel();
    elsewhere.publish({ repository: 'library/x', tag: 'latest', file });
    const to = `https://${elsewhere.host}/v2/library/x/blobs/${digest}`;
    registry.fault({ kind: 'redirects', to });
    await expect(start().pull(name, () => {}, unaborted())).rejects.toThrow(
      /leads to 127\.0\.0\.1:\d+ \(127\.0\.0\.1\), a private address/,
    );
    registry.fault({ kind: 'redirects', to: to.replace('https', 'http') });
    await expect(start().pull(name, () => {}, unaborted())).rejects.toThrow(/leads to http:.*not followed/);
    expect(elsewhere.asked).toEqual([]);
    registry.fault({ kind: 'redirects', to: to.replace('https', 'http') });
    const hosts = [registry.host, elsewhere.host].map((host) => ({ host, plain: true }));
    await start({ hosts }).pull(name, () => {}, unaborted());
    expect(elsewhere.asked).toHaveLength(1);
    await elsewhere[Symbol.asyncDispose]();
  });

  it('a disk that is too small is said before anything is fetched, with the numbers', async () => {
    const { name } = aModel();
    const disk: Disk = { ...realDisk, freeBytes: async () => reserveBytes + 1_000 };
    await expect(start({ disk }).pull(name, () => {}, unaborted())).rejects.toThrow(
      /has 0\.25 GiB free, and 0\.00 GiB are missing \(0\.25 GiB stay free\)/,
    );
    expect(registry.asked).toEqual([]);
  });

  it('a disk that fills up in the middle is said, and what filled it goes', async () => {
    const { name } = aModel();
    let chunks = 0;
    const disk: Disk = {
      ...realDisk,
      async append(file, chunk) {
        chunks += 1;
        if (chunks > 2) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
        await realDisk.append(file, chunk);
      },
    };
    await expect(start({ disk }).pull(name, () => {}, unaborted())).rejects.toThrow(/is full: make room there/);
    expect(await leftovers()).toEqual([]);
  });

  it.each([
    ['nobody-has-this', 'forbidden', /not pulled from registry\.ollama\.ai here.*PULL_HOSTS/],
    ['HOST/library/unknown', 'model_not_found', /library\/unknown:latest' not found/],
    ['evil.example.org/a/b', 'forbidden', /not pulled from evil\.example\.org/],
    ['HOST/../../etc/passwd', 'bad_request', /must be a name such as/],
    ['HOST/library/..:latest', 'bad_request', /must be a name such as/],
    ['a/b/c/d/e', 'bad_request', /must be a name such as/],
  ])('%s is refused as %s', async (name, outcome, why) => {
    const pull = start().pull(name.replace('HOST', registry.host), () => {}, unaborted());
    await expect(pull).rejects.toMatchObject({ outcome, message: expect.stringMatching(why) });
  });

  it('no folder to pull into is said', async () => {
    await expect(start({ modelsDir: null }).pull(aModel().name, () => {}, unaborted())).rejects.toThrow(
      /set MODELS_DIR/,
    );
    await writeFile(join(folder, 'file.gguf'), gguf());
    await expect(
      start({ modelsDir: join(folder, 'file.gguf') }).pull(aModel().name, () => {}, unaborted()),
    ).rejects.toThrow(/cannot be kept in/);
  });
});
