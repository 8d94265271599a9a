// The name of a model in Ollama's store: where it comes from, and under which path its manifest lies. Pure.
import { canonicalModel } from '@berth/shared/dialects/catalog.ts';
import { refuse } from '@berth/shared/dialects/check.ts';

export interface StoreName {
  host: string;
  namespace: string;
  model: string;
  tag: string;
}

const ollamaHost = 'registry.ollama.ai';

/** As Ollama writes it: without its own registry and `library`. */
export function nameOf({ host, namespace, model, tag }: StoreName): string {
  if (host !== ollamaHost) return `${host}/${namespace}/${model}:${tag}`;
  return namespace === 'library' ? `${model}:${tag}` : `${namespace}/${model}:${tag}`;
}

/**
 * `llama3.2`, `mario/plumber:v1`, `hf.co/owner/repo:Q4_K_M`, `hf:owner/repo`, `registry.example.org:5000/team/model`.
 * @throws Refusal `bad_request` for what could not lie in a store: no part of it leads out of a folder
 */
export function storeNameOf(written: string): StoreName {
  const parts = canonicalModel(written).split('/');
  const [model = '', tag = ''] = (parts.pop() ?? '').split(':');
  const namespace = parts.pop() ?? 'library';
  const host = parts.pop() ?? ollamaHost;
  const isPart = (part: string) => /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(part);
  const isHost = /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:\d{1,5})?$/.test(host);
  if (parts.length === 0 && isHost && [namespace, model, tag].every(isPart)) return { host, namespace, model, tag };
  return refuse(
    'model',
    'must be a name such as llama3.2:3b, hf.co/owner/repo:Q4_K_M or registry.example.org/team/model:tag',
  );
}

/** Below `manifests`. */
export function manifestPath({ host, namespace, model, tag }: StoreName): string {
  return `${host}/${namespace}/${model}/${tag}`;
}
