// What `POST /api/show` tells of a model: what its file says, in Ollama's words.
import type { ModelCard } from '@berth/shared/announcement.ts';
import { detailsOf } from '@berth/shared/dialects/catalog.ts';
import { samplingDefaults } from '../engine/llama/sampling.ts';
import type { GgufHeader } from '../models/gguf.ts';

type Header = Pick<GgufHeader, 'chatTemplate' | 'facts' | 'parameters'>;

/**
 * The body. The template is the file's own Jinja, where Ollama has a template of its own language.
 * @param wholeFacts all that the file says, as JSON, when the client wants that; else long arrays are null
 */
export function showBody(card: ModelCard, header: Header, wholeFacts: string | null): string {
  const { chatTemplate, facts, parameters } = header;
  const license = licenseOf(facts);
  const body = {
    modelfile: modelfileOf(card, chatTemplate, license),
    parameters: parametersOf(card)
      .map(([name, value]) => `${name.padEnd(30)} ${value}`)
      .join('\n'),
    template: chatTemplate ?? '',
    ...(license !== '' && { license }),
    details: detailsOf(card),
    capabilities: card.capabilities,
    modified_at: card.modifiedAt,
  };
  const told = Object.entries(facts).filter(([key]) => !key.startsWith('tokenizer.chat_template'));
  const info = JSON.stringify({ ...Object.fromEntries(told), 'general.parameter_count': parameters });
  return `${JSON.stringify(body).slice(0, -1)},"model_info":${wholeFacts ?? info}}`;
}

/** What holds where a request says nothing. */
function parametersOf({ contextTokens, capabilities }: ModelCard): (readonly [name: string, value: number])[] {
  const { temperature, topK, topP, minP, repeatPenalty, repeatLastN } = samplingDefaults;
  const context = ['num_ctx', contextTokens] as const;
  if (!capabilities.includes('completion')) return [context];
  return [
    context,
    ['temperature', temperature],
    ['top_k', topK],
    ['top_p', topP],
    ['min_p', minP],
    ['repeat_penalty', repeatPenalty],
    ['repeat_last_n', repeatLastN],
  ];
}

function licenseOf(facts: Header['facts']): string {
  const texts = ['general.license', 'general.license.name', 'general.license.link'].map((key) => facts[key]);
  return texts.filter((text) => typeof text === 'string' && text !== '').join('\n');
}

function modelfileOf(card: ModelCard, template: string | null, license: string): string {
  const quoted = (word: string, text: string | null) => (text ? [`${word} """${text}"""`] : []);
  const parameters = parametersOf(card).map(([name, value]) => `PARAMETER ${name} ${value}`);
  return [`FROM ${card.name}`, ...quoted('TEMPLATE', template), ...parameters, ...quoted('LICENSE', license), ''].join(
    '\n',
  );
}
