// The worker's models kept as the disk and MODELS_FILE have them.
import type { Log } from '@berth/shared/log.ts';
import type { Announcer } from './announce.ts';
import type { Catalog } from './models/catalog.ts';
import type { Residency } from './models/residency.ts';
import { reasonOf } from './reason.ts';

export interface Upkeep {
  catalog: Catalog;
  residency: Residency;
  announcer: Announcer;
  log: Log;
  /** Most models that are loaded at a time. */
  self: { loadedMax: number };
  /** Versions of models that were loaded because they are to be there from the start, or tried. */
  preloaded: Set<string>;
  /** Aborts what still runs when the worker leaves. */
  cut: AbortController;
}

/** Looks at the models again, and lets go of those whose files have gone. Never rejects. */
export async function rescan(parts: Upkeep): Promise<void> {
  const { catalog, residency, announcer, log } = parts;
  try {
    if (!(await catalog.scan())) return;
    const there = new Set(catalog.models().map(({ name }) => name));
    for (const { name } of residency.residents()) if (!there.has(name)) residency.unload(name, true);
    residency.refresh(catalog.models());
    announcer.soon();
    await preload(parts);
  } catch (error) {
    log.error('the models could not be looked at', { reason: reasonOf(error) });
  }
}

/** Loads what is to be there from the start, while there is room. Never rejects; what fails, residency tells. */
export async function preload({ catalog, residency, preloaded, self, cut }: Upkeep): Promise<void> {
  for (const model of catalog.models().filter(({ settings }) => settings.preload)) {
    const { name, version } = model;
    if (preloaded.has(`${name} ${version}`) || residency.residents().length >= self.loadedMax) continue;
    preloaded.add(`${name} ${version}`);
    await residency.load(model, '', cut.signal).catch(() => undefined);
  }
}
