// A registry as Ollama's and a hub as Hugging Face's, on one real socket, that break off, lie or dawdle as a test says.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  host: string;
  /** Puts a model there, and gives the digest of its file. */
  publish(model: Published): string;
  /** What becomes of the next requests for files, one each; afterwards they are served. */
  fault(...faults: Fault[]): void;
  /** Requests for files: the `range` of each, '' = none. */
  asked: { digest: string; range: string }[];
  /** Settles when so many requests for files have come. */
  came(count: number): Promise<void>;
  /** Requests for files whose client has gone before the end. */
  readonly left: number;
}

interface Published {
  /** `library/tiny`, or `owner/repo` for the hub. */
  repository: string;
  tag: string;
  file: Uint8Array;
  params?: object;
  /** What is sent in place of the file. */
  lie?: Uint8Array;
  /** Under which name the hub has it. */
  hubFile?: string;
}

type Fault =
  /** The connection breaks after so many bytes. */
  | { kind: 'breaks'; afterBytes: number }
  /** Nothing more comes after so many bytes, and the connection stays open. */
  | { kind: 'hangs'; afterBytes: number }
  | { kind: 'status'; status: number }
  | { kind: 'redirects'; to: string }
  /** Takes no notice of the range that is asked for. */
  | { kind: 'begins anew' };

const modelType = 'application/vnd.ollama.image.model';

export async function startRegistry(): Promise<Registry> {
  const blobs = new Map<string, Buffer>();
  const manifests = new Map<string, string>();
  const trees = new Map<string, object[]>();
  const hubFiles = new Map<string, string>();
  const faults: Fault[] = [];
  const asked: Registry['asked'] = [];
  const waiting = new Set<() => void>();
  let left = 0;

  const store = (bytes: Uint8Array, lie?: Uint8Array): { digest: string; size: number } => {
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    blobs.set(digest, Buffer.from(lie ?? bytes));
    return { digest, size: bytes.length };
  };

  const serveBlob = (digest: string, request: IncomingMessage, response: ServerResponse): void => {
    const { range = '' } = request.headers;
    asked.push({ digest, range });
    for (const look of waiting) look();
    response.on('close', () => (left += response.writableFinished ? 0 : 1));
    const bytes = blobs.get(digest);
    const fault = faults.shift();
    if (bytes === undefined) return void response.writeHead(404).end();
    if (fault?.kind === 'status') return void response.writeHead(fault.status).end();
    if (fault?.kind === 'redirects') return void response.writeHead(307, { location: fault.to }).end();
    const start = fault?.kind === 'begins anew' ? 0 : Number(/^bytes=(\d+)-$/.exec(range)?.[1] ?? 0);
    const part = bytes.subarray(start);
    const more = start > 0 ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {};
    response.writeHead(start > 0 ? 206 : 200, { 'content-length': part.length, ...more });
    if (fault?.kind !== 'breaks' && fault?.kind !== 'hangs') return void response.end(part);
    response.write(part.subarray(0, fault.afterBytes), () => {
      if (fault.kind === 'breaks') response.destroy();
    });
  };

  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '').split('?')[0] ?? '');
    const digest = /^\/v2\/.+\/blobs\/(sha256:[0-9a-f]{64})$/.exec(path)?.[1] ?? hubFiles.get(path);
    if (digest !== undefined) return serveBlob(digest, request, response);
    const text = manifests.get(path) ?? (trees.has(path) ? JSON.stringify(trees.get(path)) : undefined);
    response.writeHead(text === undefined ? 404 : 200).end(text);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  return {
    host: `127.0.0.1:${port}`,
    asked,
    publish({ repository, tag, file, params, lie, hubFile }) {
      const model = store(file, lie);
      const layers = [{ mediaType: modelType, ...model }];
      if (params) {
        const text = Buffer.from(JSON.stringify(params));
        layers.push({ mediaType: 'application/vnd.ollama.image.params', ...store(text) });
      }
      manifests.set(`/v2/${repository}/manifests/${tag}`, JSON.stringify({ schemaVersion: 2, layers }));
      const name = hubFile ?? `model-${tag}.gguf`;
      const tree = trees.get(`/api/models/${repository}/tree/main`) ?? [{ type: 'file', path: 'README.md', size: 3 }];
      tree.push({
        type: 'file',
        path: name,
        size: file.length,
        lfs: { oid: model.digest.slice(7), size: file.length },
      });
      trees.set(`/api/models/${repository}/tree/main`, tree);
      hubFiles.set(`/${repository}/resolve/main/${name}`, model.digest);
      return model.digest;
    },
    fault: (...next) => void faults.push(...next),
    came: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (asked.length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    get left() {
      return left;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
