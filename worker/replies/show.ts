// What `POST /api/show` tells of a model: what its file says, in Ollama's words.
import type { ModelCard } from '@berth/shared/announcement.ts';
import { detailsOf } from '@berth/shared/dialects/catalog.ts';
import { samplingDefaults } from '../engine/llama/sampling.ts';
import type { Defaults } from '../models/defaults.ts';
import type { GgufHeader } from '../models/gguf.ts';

interface Shown {
  header: Pick<GgufHeader, 'chatTemplate' | 'facts' | 'parameters'>;
  defaults: Defaults;
}

/**
 * The body. The template is the file's own Jinja, where Ollama has a template of its own language.
 * @param problems why it is not served, or not as it was meant to be: Ollama has no such field
 * @param wholeFacts all that the file says, as JSON, when the client wants that; else long arrays are null
 */
export function showBody(
  card: ModelCard,
  { header, defaults }: Shown,
  wholeFacts: string | null,
  problems: readonly string[] = [],
): string {
  const { chatTemplate, facts, parameters } = header;
  const holding = parametersOf(card, defaults);
  const license = licenseOf(facts);
  const body = {
    modelfile: modelfileOf(card, holding, chatTemplate, defaults.system, license),
    parameters: holding.map(([name, value]) => `${name.padEnd(30)} ${value}`).join('\n'),
    template: chatTemplate ?? '',
    ...(defaults.system !== null && { system: defaults.system }),
    ...(license !== '' && { license }),
    details: detailsOf(card),
    capabilities: card.capabilities,
    modified_at: card.modifiedAt,
    ...(problems.length > 0 && { problems }),
  };
  const told = Object.entries(facts).filter(([key]) => !key.startsWith('tokenizer.chat_template'));
  const info = JSON.stringify({ ...Object.fromEntries(told), 'general.parameter_count': parameters });
  return `${JSON.stringify(body).slice(0, -1)},"model_info":${wholeFacts ?? info}}`;
}

type Parameter = readonly [name: string, value: number | string];

/** What holds where a request says nothing. */
function parametersOf({ contextTokens, capabilities }: ModelCard, { sampling, stop }: Defaults): Parameter[] {
  const context = ['num_ctx', contextTokens] as const;
  if (!capabilities.includes('completion')) return [context];
  const { temperature, topK, topP, minP, repeatPenalty, repeatLastN } = samplingDefaults;
  return [
    context,
    ['temperature', sampling.temperature ?? temperature],
    ['top_k', sampling.topK ?? topK],
    ['top_p', sampling.topP ?? topP],
    ['min_p', sampling.minP ?? minP],
    ['repeat_penalty', sampling.repeatPenalty ?? repeatPenalty],
    ['repeat_last_n', sampling.repeatLastN ?? repeatLastN],
    ...stop.map((text) => ['stop', JSON.stringify(text)] as const),
  ];
}

function licenseOf(facts: GgufHeader['facts']): string {
  const texts = ['general.license', 'general.license.name', 'general.license.link'].map((key) => facts[key]);
  return texts.filter((text) => typeof text === 'string' && text !== '').join('\n');
}

function modelfileOf(
  { name }: ModelCard,
  parameters: readonly Parameter[],
  template: string | null,
  system: string | null,
  license: string,
): string {
  const quoted = (word: string, text: string | null) => (text ? [`${word} """${text}"""`] : []);
  const lines = parameters.map(([parameter, value]) => `PARAMETER ${parameter} ${value}`);
  const texts = [...quoted('TEMPLATE', template), ...quoted('SYSTEM', system)];
  return [`FROM ${name}`, ...texts, ...lines, ...quoted('LICENSE', license), ''].join('\n');
}
