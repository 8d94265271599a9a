// What gateways want of the models on this worker's disk: pulls, deletions, second names. Nothing of it takes a slot.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Problem } from '@berth/shared/announcement.ts';
import type { Call } from '@berth/shared/auth.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { parseOllamaCopy } from '@berth/shared/dialects/catalog.ts';
import { refusalHeader } from '@berth/shared/headers.ts';
import { Refusal, encodeRefusal } from '@berth/shared/outcome.ts';
import type { Handle } from './http.ts';
import type { Catalog } from './models/catalog.ts';
import { isStored } from './models/parts.ts';
import { asRefusal, copyModel, removeModel } from './models/shelf.ts';
import { GatewayGone } from './outbox.ts';
import { createPulls } from './pull/pulls.ts';
import type { PullOptions, Pulls } from './pull/pulls.ts';
import { readBody } from './serve.ts';

interface Options extends Pick<PullOptions, 'modelsDir' | 'clock' | 'log'> {
  /** From where models may be pulled. */
  pull: Pick<PullOptions, 'hosts' | 'hubUrl' | 'stallMs' | 'disk'>;
  catalog: Catalog;
  /** The disk has changed. */
  rescan: () => Promise<void>;
}

interface LibraryKit extends Options {
  pulls: Pulls;
}

export interface Library {
  /** By method and path. */
  handlers: Readonly<Record<string, Handle>>;
  /** Why models cannot be served that are on the disk, or should be. */
  problems(): Problem[];
}

export function createLibrary(options: Options): Library {
  const { catalog, rescan } = options;
  const pulls = createPulls({
    ...options,
    ...options.pull,
    async onPulled(name) {
      await rescan();
      if ((await catalog.find(name)) !== null) return;
      const found = catalog.problems().find(({ model }) => model === name);
      throw new Refusal('pull_failed', found?.reason ?? `${name} is there, and is no model that can be served`);
    },
  });
  const kit = { ...options, pulls };
  const handlers: Library['handlers'] = {
    'POST /api/pull': (call, _, response) => servePull(kit, call, response),
    'DELETE /api/delete': (call, _, response) => answer(response, () => remove(kit, call)),
    'POST /api/copy': (call, request, response) => answer(response, () => copy(kit, call, request)),
  };
  // Clients are told names, not where the disk has them.
  const bare = (text: string) =>
    options.modelsDir === null ? text : text.replaceAll(join(options.modelsDir, '/'), '');
  return {
    handlers,
    problems: () =>
      [...catalog.problems(), ...pulls.problems()].map(({ model, reason }) => ({ model, reason: bare(reason) })),
  };
}

/** One JSON object per line: each status, and at the end `success` or an `error` with its refusal. */
async function servePull({ pulls, catalog, modelsDir }: LibraryKit, { model }: Call, response: ServerResponse) {
  const off = new AbortController();
  response.on('close', () => off.abort(new GatewayGone('the gateway broke off a pull')));
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  const say = (line: object): void => void response.write(`${JSON.stringify(line)}\n`);
  try {
    const known = await catalog.find(model);
    // What somebody put there has no source.
    if (known !== null && modelsDir !== null && !isStored(known.path, modelsDir)) say({ status: 'success' });
    else await pulls.pull(model, say, off.signal);
  } catch (error) {
    if (off.signal.aborted) return;
    const refusal = asRefusal(error);
    say({ error: refusal.message, refusal: encodeRefusal(refusal) });
  }
  response.end();
}

async function remove({ catalog, modelsDir, pulls, log, rescan }: LibraryKit, { model: name }: Call): Promise<void> {
  const model = await catalog.find(name);
  if (model === null) throw modelNotFound(name);
  await removeModel(model, modelsDir, pulls.wanted());
  log.info('a model was deleted', { model: name, path: model.path });
  await rescan();
}

async function copy({ catalog, modelsDir, log, rescan }: LibraryKit, { model: name }: Call, request: IncomingMessage) {
  const { destination } = parseOllamaCopy(parseJson(await readBody(request)));
  const model = await catalog.find(name);
  if (model === null) throw modelNotFound(name);
  await copyModel(model, destination, modelsDir);
  log.info('a model got a second name', { model: name, destination });
  await rescan();
}

async function answer(response: ServerResponse, act: () => Promise<void>): Promise<void> {
  try {
    await act();
    response.writeHead(200, { 'content-length': 0 }).end();
  } catch (error) {
    if (error instanceof GatewayGone) return;
    response.writeHead(500, { [refusalHeader]: encodeRefusal(asRefusal(error)), 'content-length': 0 }).end();
  }
}
