// Ranges of addresses, as settings write them: `10.0.0.0/8,fd00::/8`, each with a word after `=` where one is meant.
import { BlockList, isIP } from 'node:net';

export interface Network {
  range: string;
  /** What stands after `=`, or null. */
  word: string | null;
  has: (address: string) => boolean;
}

const networksMax = 100;

/** @throws Error whose message says what is allowed */
export function parseNetworks(text: string): Network[] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > networksMax) throw new Error(`must be at most ${networksMax} ranges`);
  return parts.map((part) => {
    const [range = '', word = null] = part.split('=', 2);
    const [base = '', length] = range.split('/', 2);
    const family = isIP(base);
    const bits = family === 4 ? 32 : 128;
    const prefix = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
    if (family === 0 || !(prefix <= bits)) throw new Error('must be ranges such as 10.0.0.0/8, separated by commas');
    if (word !== null && !/^[A-Za-z0-9._-]{1,64}$/.test(word)) {
      throw new Error('a team must have 1 to 64 letters, digits, dots or dashes');
    }
    const list = new BlockList();
    list.addSubnet(base, prefix, family === 4 ? 'ipv4' : 'ipv6');
    return { range, word, has: (address) => checks(list, address) };
  });
}

/** A dual-stack listener tells IPv4 addresses as `::ffff:10.0.0.1`. */
function checks(list: BlockList, address: string): boolean {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  const bare = mapped ?? address;
  const family = isIP(bare);
  return family !== 0 && list.check(bare, family === 4 ? 'ipv4' : 'ipv6');
}
