// TLS from files: a certificate that is looked at again and again, so that a renewed one needs no restart.
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Server } from 'node:https';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

export interface TlsFiles {
  /** PEM: the certificate, and those between it and a root behind it. */
  certPath: string;
  /** PEM: its private key. */
  keyPath: string;
  /** Of the settings that name them: `TLS`, or what stands before `_CERT` and `_KEY` instead. */
  settings?: string;
}

/** @throws Error when there is one file of the two */
export function tlsFiles(certPath: string | null, keyPath: string | null, settings = 'TLS'): TlsFiles | null {
  if (certPath === null && keyPath === null) return null;
  if (certPath !== null && keyPath !== null) return { certPath, keyPath, settings };
  throw new Error(`${settings}_CERT and ${settings}_KEY belong together: set both, or neither for plain HTTP`);
}

export interface Certificate {
  cert: string;
  key: string;
}

/** How often the files are looked at. */
const lookEveryMs = 10_000;

/** @throws Error that names the file and says what to do */
export async function readCertificate({ certPath, keyPath, settings = 'TLS' }: TlsFiles): Promise<Certificate> {
  const read = (path: string, name: string) =>
    readFile(path, 'utf8').catch((error: Error) => {
      throw new Error(`${name} cannot be read: ${error.message}`, { cause: error });
    });
  const [cert, key] = await Promise.all([read(certPath, `${settings}_CERT`), read(keyPath, `${settings}_KEY`)]);
  let fits = false;
  try {
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    const both = `${settings}_CERT and ${settings}_KEY`;
    throw new Error(`${both} must be a certificate and its key as PEM, without a passphrase`, { cause: error });
  }
  if (!fits) throw new Error(`the key in ${keyPath} is not that of the certificate in ${certPath}`);
  return { cert, key };
}

/** Gives the server what the files hold now, whenever it has changed. One that does not fit leaves the old one in use. */
export function keepCertificate(
  server: Server,
  files: TlsFiles,
  { first, clock, log }: { first: Certificate; clock: Clock; log: Log },
): Disposable {
  let used = first;
  let told = '';
  let timer: Disposable | undefined;
  let closed = false;
  const look = async () => {
    const now = await readCertificate(files);
    told = '';
    if (now.cert === used.cert && now.key === used.key) return;
    server.setSecureContext(now);
    used = now;
    log.info('a new certificate is used', { validTo: new X509Certificate(now.cert).validTo });
  };
  const again = (): void => {
    if (closed) return;
    timer = clock.after(lookEveryMs, () => {
      look()
        .catch(({ message }: Error) => {
          // A renewal that is half done: said once, and looked at again.
          if (message !== told) log.error('the old certificate stays in use', { error: message });
          told = message;
        })
        .finally(again);
    });
  };
  again();
  return {
    [Symbol.dispose]() {
      closed = true;
      timer?.[Symbol.dispose]();
    },
  };
}
