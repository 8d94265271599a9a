// A look at the gateway that was just started here, over HTTP or HTTPS.
import { get as getPlain } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { get as getTls } from 'node:https';

export async function get(
  url: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  // It is this machine's own gateway, whose certificate names it as others know it.
  const asked = url.startsWith('https:')
    ? getTls(url, { headers, agent: false, rejectUnauthorized: false }, resolve)
    : getPlain(url, { headers, agent: false }, resolve);
  asked.on('error', reject);
  const reply = await promise;
  let text = '';
  for await (const chunk of reply.setEncoding('utf8')) text += String(chunk);
  return { status: reply.statusCode ?? 0, text };
}
