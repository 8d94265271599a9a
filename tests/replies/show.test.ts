// What `POST /api/show` tells of a model file.
import { expect, test } from 'vitest';
import { noDefaults } from '../../worker/models/defaults.ts';
import { showBody } from '../../worker/replies/show.ts';
import { aCard } from '../doubles/fake-worker.ts';

const header = {
  chatTemplate: '{{ messages }}',
  parameters: 64,
  facts: {
    'general.architecture': 'llama',
    'general.license': 'apache-2.0',
    'general.license.link': 'https://example.org/license',
    'llama.context_length': 4096,
    'tokenizer.ggml.tokens': null,
    'tokenizer.chat_template': '{{ messages }}',
  },
};
type Shown = Parameters<typeof showBody>[1];
const show = (
  more: Partial<Shown['header']> = {},
  whole: string | null = null,
  card = aCard(),
  defaults: Shown['defaults'] = noDefaults,
) => JSON.parse(showBody(card, { header: { ...header, ...more }, defaults }, whole)) as Record<string, string>;

test('the file’s own words are all there: template, license, sizes, and long arrays as null', () => {
  expect(show()).toEqual({
    modelfile: expect.stringMatching(/^FROM tiny:latest\nTEMPLATE """\{\{ messages }}"""\nPARAMETER num_ctx 4096\n/),
    parameters: expect.stringContaining('num_ctx                        4096\ntemperature                    0.8\n'),
    template: '{{ messages }}',
    license: 'apache-2.0\nhttps://example.org/license',
    details: expect.objectContaining({ format: 'gguf', family: 'llama', parameter_size: '1M' }),
    capabilities: ['completion', 'tools'],
    modified_at: '2026-11-01T00:00:00.000Z',
    model_info: {
      'general.architecture': 'llama',
      'general.license': 'apache-2.0',
      'general.license.link': 'https://example.org/license',
      'general.parameter_count': 64,
      'llama.context_length': 4096,
      'tokenizer.ggml.tokens': null,
    },
  });
});

test('who asks for everything gets what was read anew', () => {
  expect(show({}, '{"tokenizer.ggml.tokens":["a"]}')['model_info']).toEqual({ 'tokenizer.ggml.tokens': ['a'] });
});

test('what a file does not say is left out or empty', () => {
  const told = show({
    chatTemplate: null,
    facts: { ...header.facts, 'general.license': '', 'general.license.link': '' },
  });
  expect(told).toMatchObject({ template: '', modelfile: expect.not.stringContaining('TEMPLATE') as string });
  expect(told).not.toHaveProperty('license');
});

test('an embedding model has no sampling parameters', () => {
  const card = aCard({ capabilities: ['embedding'] });
  expect(show({}, null, card)['parameters']).toBe('num_ctx                        4096');
});

test('what the author of a model in a store has set stands where Ollama puts it', () => {
  const sampling = { ...noDefaults.sampling, temperature: 0.6 };
  const told = show({}, null, aCard(), { sampling, stop: ['<end>', '"'], system: 'Be kind.' });
  expect(told['system']).toBe('Be kind.');
  expect(told['parameters']).toMatch(/^temperature +0\.6$/m);
  expect(told['parameters']).toMatch(/^stop +"<end>"\nstop +"\\""$/m);
  expect(told['modelfile']).toContain('SYSTEM """Be kind."""\n');
});
