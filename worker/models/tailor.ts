// A model with what MODELS_FILE says of it: its files are found, and what it can do is told anew.
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ModelSettings } from '@berth/shared/models-file.ts';
import { capabilitiesOf } from './capabilities.ts';
import type { Model } from './catalog.ts';

/** A template that is longer is none. */
const templateBytesMax = 256 * 1_024;

/**
 * @param folder what paths in the settings are relative to
 * @throws Error that says which setting cannot be honoured
 */
export async function tailored(model: Model, settings: ModelSettings, folder: string): Promise<Model> {
  const template = await templateOf(settings, folder);
  const own = (settings.adapters ?? []).map(({ path, scale }) => ({ path: resolve(folder, path), scale }));
  const adapters = [...model.adapters, ...own];
  const header = { ...model.header, chatTemplate: template ?? model.header.chatTemplate };
  const made: Model = {
    ...model,
    header,
    capabilities: capabilitiesOf(header),
    defaults: defaultsOf(model, settings),
    adapters,
    settings: { ...settings, ...(template !== null && { template }) },
  };
  if (adapters.length > 0 && made.capabilities.includes('embedding'))
    throw new Error('adapters are for models that generate');
  const { contextTokens, slots, gpus, gpuLayers } = settings;
  const reloads = JSON.stringify([contextTokens, slots, template, gpus, gpuLayers, own, await versionsOf(adapters)]);
  return { ...made, version: `${model.version} ${reloads}` };
}

async function templateOf({ template, templateFile }: ModelSettings, folder: string): Promise<string | null> {
  if (templateFile === undefined) return template ?? null;
  const text = await readFile(resolve(folder, templateFile), 'utf8').catch((error: Error) => {
    throw new Error(`its template cannot be read: ${error.message}`, { cause: error });
  });
  if (text.length > templateBytesMax) throw new Error(`its template has more than ${templateBytesMax} characters`);
  return text;
}

function defaultsOf({ defaults }: Model, { sampling, stop, system }: ModelSettings): Model['defaults'] {
  const said = Object.entries(sampling ?? {}).filter(([, value]) => value !== null);
  return {
    sampling: { ...defaults.sampling, ...Object.fromEntries(said) },
    stop: stop && stop.length > 0 ? stop : defaults.stop,
    system: system ?? defaults.system,
  };
}

async function versionsOf(adapters: Model['adapters']): Promise<string[]> {
  return Promise.all(
    adapters.map(async ({ path }) => {
      const { mtimeMs, size } = await stat(path).catch((error: Error) => {
        throw new Error(`its adapter cannot be read: ${error.message}`, { cause: error });
      });
      return `${mtimeMs}:${size}`;
    }),
  );
}
