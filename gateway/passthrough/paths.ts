// Paths that two servers would read alike: only those are passed on.
import { Refusal } from '@berth/shared/outcome.ts';

/**
 * Dot segments, doubled or encoded slashes, backslashes and control characters are where servers differ, and where a
 * path that was allowed becomes another one behind the door.
 * @throws Refusal `bad_request`
 */
export function checkPath(path: string): void {
  let plain: string;
  try {
    plain = decodeURIComponent(path);
  } catch {
    throw new Refusal('bad_request', 'this path is not encoded as UTF-8');
  }
  // eslint-disable-next-line no-control-regex
  const odd = /%2f|%5c|\\/i.test(path) || /\/\.{1,2}(\/|;|$)|\/\/|[\u0000-\u001f\u007f\\]/.test(plain);
  if (odd)
    throw new Refusal(
      'bad_request',
      'this path can be read in two ways: write it without dots, backslashes or doubled slashes',
    );
}
