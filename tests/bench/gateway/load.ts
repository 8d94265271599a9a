// What is sent through every gateway: one chat request of 2 KB, answered whole or as a stream.

/** Name of the fake worker's model, as clients write it. */
export const modelName = 'bench:latest';
export const path = '/v1/chat/completions';
/** The key that Berth asks for; the others ignore it. */
export const apiKey = 'bench-key-0123456789abcdef';
/** Size of a request's body. */
const bodyBytes = 2_048;

/** A chat of one system message and four turns, filled up to exactly 2 KB. */
export function chatBody(stream: boolean): string {
  const around = JSON.stringify(chat('', stream)).length;
  return JSON.stringify(chat(prose(bodyBytes - around), stream));
}

function chat(text: string, stream: boolean) {
  return {
    model: modelName,
    messages: [
      { role: 'system', content: 'You are a careful assistant. Answer briefly.' },
      { role: 'user', content: 'What does a reverse proxy do?' },
      { role: 'assistant', content: 'It takes requests for servers that stand behind it.' },
      { role: 'user', content: text },
    ],
    temperature: 0.7,
    max_tokens: 256,
    stream,
  };
}

function prose(bytes: number): string {
  const sentence = 'Explain in your own words what happens between the first byte and the last, and why. ';
  return sentence.repeat(Math.ceil(bytes / sentence.length)).slice(0, bytes);
}

/** The bytes of one streamed request, for a socket of our own. */
export function streamRequest(port: number): Buffer {
  const body = chatBody(true);
  return Buffer.from(
    [
      `POST ${path} HTTP/1.1`,
      `host: 127.0.0.1:${port}`,
      `authorization: Bearer ${apiKey}`,
      'content-type: application/json',
      `content-length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n'),
  );
}

/** One byte that is in every chunk of a stream once and nowhere else: chunks are counted by it. */
export const chunkMark = 0x7e;
/** Digits after the mark: microseconds of the machine's monotonic clock when the chunk was written. */
export const stampDigits = 15;

/** The machine's monotonic clock, the same in all processes. */
export function stampUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}
