// The chat template of a model whose file has one for all conversations, and perhaps another for those with tools.

/** @returns one template that does what both do, or `null` for a file without any */
export function templateOf(own: unknown, withTools: unknown): string | null {
  if (typeof own !== 'string' || own === '') return null;
  if (typeof withTools !== 'string' || withTools === '') return own;
  // As Cohere's and Hermes models have it. A line break at a template's end is none of the prompt's.
  return `{% if tools %}${withTools.replace(/\n$/, '')}{% else %}${own.replace(/\n$/, '')}{% endif %}`;
}
