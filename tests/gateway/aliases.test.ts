// Names that stand for models: what a client is given for them, and a file that changes while the gateway runs.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseModelsFile } from '@berth/shared/models-file.ts';
import { aliasOf } from '../../gateway/aliases.ts';
import { aCard } from '../doubles/fake-worker.ts';
import { make } from './policy/calls.ts';
import { ask, chat, startRig, until } from './rig.ts';
import type { Rig } from './rig.ts';

const key = 'a-key-of-the-settings';
const admin = { authorization: `Bearer ${key}` };
let folder = '';
let path = '';
let rig: Rig;

const write = (aliases: object) => writeFile(path, JSON.stringify({ aliases }));
const first = {
  'gpt-4o': ['qwen3:32b', 'tiny'],
  'gpt-*-mini': 'tiny',
  'small:8b': ['gone', 'lost'],
  tiny: 'other',
  'o*': 'tiny',
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-aliases-'));
  path = join(folder, 'models.json');
  await write(first);
  const models = [aCard({ name: 'tiny:latest' }), aCard({ name: 'other:latest' })];
  rig = await startRig({ door: [key], workers: [{ models }], settings: { modelsFile: path } });
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const askFor = async (model: string, headers = admin) => {
  const { status, text } = await ask(rig, { headers, body: chat({ model }) }).answer;
  return { status, text, model: rig.takes.at(-1)?.model };
};

describe('a request', () => {
  it.each([
    ['gpt-4o', 'tiny:latest'],
    ['gpt-4o:latest', 'tiny:latest'],
    ['gpt-5-mini', 'tiny:latest'],
    ['gpt-5-mini:latest', 'tiny:latest'],
    ['tiny', 'other:latest'],
    // A model that is there comes before a pattern that fits it too.
    ['other', 'other:latest'],
    ['o3', 'tiny:latest'],
  ])('for %s is one for %s', async (name, model) => {
    expect(await askFor(name)).toMatchObject({ status: 200, model });
  });

  it('for an alias of models that nobody has says what it stands for', async () => {
    const { status, text } = await askFor('small:8b');
    expect([status, text]).toEqual([404, expect.stringContaining("it stands for 'gone:latest', which no worker has")]);
  });

  it.each(['gpt-mini', 'gpt-4', 'agpt-5-mini', 'gpt-5-mini:8b'])('for %s fits no pattern', async (name) => {
    expect((await askFor(name)).status).toBe(404);
  });

  it('is allowed when the key may use the alias, or the model that it stands for', async () => {
    const [alias, model] = [await make(rig, { models: ['gpt-4o'] }), await make(rig, { models: ['tiny'] })];
    const by = ({ secret }: { secret: string }) => ({ authorization: `Bearer ${secret}` });
    expect((await askFor('gpt-4o', by(alias))).status).toBe(200);
    expect((await askFor('gpt-x-mini', by(alias))).status).toBe(403);
    expect((await askFor('gpt-x-mini', by(model))).status).toBe(200);
    expect((await askFor('other', by(model))).status).toBe(403);
  });
});

it('lists have the aliases whose models are there, and no patterns', async () => {
  const get = async (of: string) =>
    JSON.parse((await ask(rig, { method: 'GET', path: of, headers: admin }).answer).text) as {
      data: { id: string }[];
      models: { name: string; digest: string }[];
      id: string;
    };
  const names = ['gpt-4o', 'other:latest', 'tiny', 'tiny:latest'];
  expect((await get('/v1/models')).data.map(({ id }) => id).toSorted()).toEqual(names);
  expect((await get('/api/tags')).models.map(({ name }) => name).toSorted()).toEqual(names);
  expect((await get('/v1/models/gpt-4o')).id).toBe('gpt-4o');
});

it('the file is read anew when it changes, and a damaged one changes nothing', async () => {
  const turn = async (what: string, isSo: () => boolean) => {
    await rig.clock.advance(2_000);
    await until(what, isSo);
  };
  const said = (text: string) => () => rig.lines.some((line) => JSON.stringify(line).includes(text));
  await writeFile(path, '{"aliases": {"a":');
  await turn('a complaint', said('the old names and settings of models stay in use'));
  expect((await askFor('gpt-4o')).status).toBe(200);
  await write({ mine: 'other' });
  await turn('a new file', said('the models file was read anew'));
  expect(await askFor('mine')).toMatchObject({ status: 200, model: 'other:latest' });
  expect((await askFor('gpt-4o')).status).toBe(404);
  await write(first);
});

it.each([
  ['', 'the body is empty'],
  ['[]', 'must be an object'],
  ['{"alias":{}}', 'alias is not known here'],
  ['{"aliases":{"a":[]}}', 'aliases.a must name a model'],
  ['{"aliases":{"a":1}}', 'aliases.a must be an array'],
  ['{"aliases":{"a b":"c"}}', 'without spaces'],
  ['{"aliases":{"a":["x y"]}}', 'aliases.a[0] must be printable'],
])('%s is refused by field', (text, why) => {
  expect(() => parseModelsFile(text, 'models.json')).toThrow(`models.json: `);
  expect(() => parseModelsFile(text, 'models.json')).toThrow(why);
});

it('a pattern of many stars is no work', () => {
  const alias = aliasOf({ name: '*a'.repeat(100), models: ['m'] });
  for (let turn = 0; turn < 1_000; turn += 1) expect(alias.fits(`${'a'.repeat(99)}b`)).toBe(false);
  expect(alias.fits('a'.repeat(100))).toBe(true);
});

it('a file that is not there stops the start', async () => {
  const started = startRig({ workers: [], settings: { modelsFile: join(folder, 'none.json') } });
  await expect(started).rejects.toThrow('MODELS_FILE cannot be read');
});
