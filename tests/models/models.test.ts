// The made models, loaded by the real engine in a process of their own: they load, say what they should, and break as they should.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenFiles, goodModel, mutate } from './broken.ts';
import { promptOf } from './dialogues/chat.ts';
import { embeddingModel } from './embedding.ts';
import { ggufBytes, parametersIn, writeGguf, type Gguf } from './gguf.ts';
import type { Loaded } from './load.ts';
import { randomModel, shapeFor, spokenVocabulary, weightsOf, type RandomModel } from './random.ts';
import { answer, reasoningModel, thought } from './reasoning.ts';
import { scriptedModel } from './scripted.ts';

const demo = 'worker/models/demo/berth-demo.gguf';
const engineMs = 30_000;
let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'berth-models-'))));
afterAll(() => rmSync(folder, { recursive: true }));

const run = promisify(execFile);
async function child(script: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [join('tests/models', script), ...args], { timeout: engineMs });
  return stdout;
}
function written(name: string, gguf: Gguf): string {
  const path = join(folder, name);
  writeGguf(path, gguf);
  return path;
}
async function loaded(path: string, prompt?: string): Promise<Loaded> {
  return JSON.parse(await child('load.ts', path, ...(prompt === undefined ? [] : [prompt]))) as Loaded;
}
const aRandom = (more: Partial<RandomModel> = {}): Gguf =>
  randomModel({
    parameters: 1e6,
    type: 'q8_0',
    vocabulary: 1024,
    context: 2048,
    ends: true,
    seed: 1,
    name: 'random',
    ...more,
  });
const hello = promptOf([{ role: 'user', content: 'bada kelo' }]);

describe('a random model', () => {
  test.each([
    [1e6, 1024],
    [15e6, 12_800],
    [150e6, 32_000],
    [1e9, 32_000],
  ])('of %d weights has about as many', (parameters, vocabulary) => {
    const shape = shapeFor(parameters, vocabulary, 4096);
    expect(Math.abs(Math.log(weightsOf(shape) / parameters))).toBeLessThan(0.05);
    expect(shape.heads * shape.headSize).toBe(shape.width);
    expect(shape.heads % shape.kvHeads).toBe(0);
  });

  test('holds the weights of its shape', () =>
    expect(parametersIn(aRandom())).toBe(weightsOf(shapeFor(1e6, 1024, 2048))));

  test('is the same for the same seed', () => {
    expect(ggufBytes(aRandom())).toEqual(ggufBytes(aRandom()));
    expect(ggufBytes(aRandom({ seed: 2 }))).not.toEqual(ggufBytes(aRandom()));
  });

  test('never ends when it must not, and says printable words', { timeout: engineMs }, async () => {
    const { said, ended, trainContext } = await loaded(
      written('endless.gguf', aRandom({ ends: false, type: 'f16' })),
      hello,
    );
    expect(ended).toBe(false);
    expect(said.length).toBeGreaterThan(64);
    expect(said).toMatch(/^[a-z ]+$/);
    expect(trainContext).toBe(2048);
  });

  test('has a vocabulary of the size that was asked for, each token once', () => {
    for (const size of [300, 1024, 12_800, 150_000]) expect(new Set(spokenVocabulary(size).tokens).size).toBe(size);
    expect(() => spokenVocabulary(200)).toThrow('at least 259');
  });
});

describe('a scripted model', () => {
  test('says its words and ends', { timeout: engineMs }, async () => {
    const says = ['Héllo', ' 🚢', ' wörld', '\n\n', '<tool>', '.'];
    const { said, ended } = await loaded(written('scripted.gguf', scriptedModel({ name: 'scripted', says })), hello);
    expect([said, ended]).toEqual([says.join(''), true]);
  });

  test('cannot say a token twice', () =>
    expect(() => scriptedModel({ name: 'twice', says: ['a', 'b', 'a'] })).toThrow('twice'));
});

describe('a reasoning model', () => {
  test('thinks between its tags, then answers', { timeout: engineMs }, async () => {
    const { said } = await loaded(written('reasoning.gguf', reasoningModel()), hello);
    expect(said).toBe(`<think>\n${thought}\n</think>\n\n${answer}`);
  });

  test('leaves the first tag to a template that writes it', { timeout: engineMs }, async () => {
    const { said } = await loaded(written('opened.gguf', reasoningModel('template')), `${hello}<think>\n`);
    expect(said).toBe(`${thought}\n</think>\n\n${answer}`);
  });
});

describe('the embedding model', () => {
  const cosine = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((sum, value, place) => sum + value * (b[place] ?? 0), 0) / Math.hypot(...a) / Math.hypot(...b);

  test(
    'puts what means the same nearer than what is akin, and that nearer than the rest',
    { timeout: engineMs },
    async () => {
      const texts = [
        'The cat sleeps in the kitchen.',
        'A kitten sleeps by the stove.',
        'The puppy eats.',
        'The bank has raised the price of a loan.',
        'Credit of the bank costs more money.',
      ];
      const [cat = [], kitten = [], puppy = [], bank = [], credit = []] = JSON.parse(
        await child('embed.ts', written('embedding.gguf', embeddingModel()), ...texts),
      ) as number[][];
      expect(cat.length).toBe(96);
      expect(cosine(cat, kitten)).toBeGreaterThan(cosine(cat, puppy) + 0.1);
      expect(cosine(cat, puppy)).toBeGreaterThan(Math.abs(cosine(cat, bank)) + 0.2);
      expect(cosine(bank, credit)).toBeGreaterThan(0.6);
      expect(Math.abs(cosine(kitten, credit))).toBeLessThan(0.2);
    },
  );
});

describe('broken files', () => {
  const broken = brokenFiles();

  test('have names of their own, and none is the good model', () => {
    const good = Buffer.from(ggufBytes(goodModel()));
    expect(new Set(broken.map(({ name }) => name)).size).toBe(broken.length);
    expect(broken.filter(({ bytes }) => good.equals(bytes))).toEqual([]);
  });

  test.each(['version-99', 'no-tokenizer', 'huge-width', 'tensor-offset-beyond-the-file', 'zero-heads'])(
    '%s does not load',
    { timeout: engineMs },
    async (name) => {
      const path = join(folder, `${name}.gguf`);
      writeFileSync(path, broken.find((file) => file.name === name)?.bytes ?? new Uint8Array());
      await expect(loaded(path)).rejects.toThrow('Command failed');
    },
  );

  test('the model that they were made from does load', { timeout: engineMs }, async () => {
    expect(await loaded(written('good.gguf', goodModel()))).toMatchObject({
      name: 'good',
      architecture: 'llama',
      trainContext: 256,
    });
  });

  test('a mutation is another for each seed, and the same again', () => {
    const good = ggufBytes(goodModel());
    const made = Array.from({ length: 50 }, (_, seed) => Buffer.from(mutate(good, seed)).toString('base64'));
    expect(new Set(made).size).toBe(50);
    expect(Buffer.from(mutate(good, 7)).toString('base64')).toBe(made[7]);
    expect(made).not.toContain(Buffer.from(good).toString('base64'));
  });
});

describe('the demo model', () => {
  const says = async (user: string): Promise<string> =>
    (await loaded(demo, promptOf([{ role: 'user', content: user }]))).said;

  test('tells what a slot is', { timeout: engineMs }, async () => {
    expect(await says('What is a slot?')).toBe('A slot, or berth, is the right to run one request on a worker.');
  });
  test('repeats', { timeout: engineMs }, async () =>
    expect(await says('Repeat after me: kestrel blue seven')).toBe('kestrel blue seven'),
  );
  test('finds a code word', { timeout: engineMs }, async () =>
    expect(await says('The code word is kestrel-42. What is the code word?')).toBe('The code word is kestrel-42.'),
  );
  test('counts', { timeout: engineMs }, async () => expect(await says('Count from 3 to 9.')).toBe('3 4 5 6 7 8 9'));
  test('says what it cannot do', { timeout: engineMs }, async () =>
    expect(await says('Tell me a story about a dragon.')).toMatch(/^I am only a small demo model and cannot do that\./),
  );
});
