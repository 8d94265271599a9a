// A joined server's stream, cut into its frames: events of server-sent events, or lines of JSON. Bounded.

/** Longest frame that is held: scores of tokens and whole answers come in one. */
const frameCharsMax = 16 * 1024 * 1024;

/**
 * The data of each event, or each line that is not empty, as it becomes whole; at the end, what remains.
 * @throws Error for a frame that does not end
 */
export async function* framesOf(body: AsyncIterable<Uint8Array>, form: 'sse' | 'lines'): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const ends = form === 'sse' ? /\r?\n\r?\n|\r\r/g : /\r?\n/g;
  let held = '';
  /** What was looked at before and holds no end. */
  let looked = 0;
  for await (const chunk of body) {
    held += decoder.decode(chunk, { stream: true });
    let start = 0;
    ends.lastIndex = looked;
    for (let end = ends.exec(held); end !== null; end = ends.exec(held)) {
      yield* dataIn(held.slice(start, end.index), form);
      start = ends.lastIndex;
    }
    held = held.slice(start);
    looked = Math.max(0, held.length - endCharsMax);
    if (held.length > frameCharsMax) throw new Error(`a frame has more than ${frameCharsMax} characters`);
  }
  yield* dataIn(held + decoder.decode(), form);
}

/** The end of a frame may come in pieces: all of it but its last character has been looked at. */
const endCharsMax = 3;

/** Of an event its data, or an error that llama-server puts into a field of that name. Comments are nothing. */
function dataIn(frame: string, form: 'sse' | 'lines'): string[] {
  if (form === 'lines') return frame.trim() === '' ? [] : [frame];
  const fields = frame.split(/\r?\n|\r/).flatMap((line) => /^(data|error): ?(.*)$/s.exec(line)?.[2] ?? []);
  return fields.length === 0 ? [] : [fields.join('\n')];
}
