// Places in a prompt by which gateway and worker know that two prompts begin alike, without telling what they say.
import type { ChatMessage, Generation, Tool } from './request.ts';

/** The end of a message, or of a block of text. */
export interface Milestone {
  /** Of all that stands before it: scope, model, tools, messages; a whole number below 2^40. */
  hash: number;
  /** Characters of the prompt up to here. */
  chars: number;
  /** Which it is, from 1. */
  number: number;
}

/** Where each text begins and ends tells prompts apart; more would cost time on long ones. */
const sampleChars = 256;
/** A prompt that is one text, or tokens, has a milestone after each so many. */
const blockChars = 1_024;
const blockTokens = 256;
/** Of a long prompt are kept: the first milestones, then fewer and fewer of them, and the last, on which turns build. */
const firstMax = 8;
const lastMax = 16;
/** Thinned when it has grown beyond this. */
const keptMax = 96;

/**
 * The milestones of a prompt, in order. Hashes are FNV-1a over UTF-16 units, in two lanes: what collides costs a
 * detour and nothing else, because the engine compares tokens before it reuses any.
 * @param scope whose prefixes may be shared: the team
 */
export function milestonesOf(scope: string, model: string, { prompt }: Pick<Generation, 'prompt'>): Milestone[] {
  if (prompt === null) return [];
  const chain = createChain();
  chain.text(scope);
  chain.text(model);
  if (prompt.kind === 'chat') {
    for (const tool of prompt.tools) chain.tool(tool);
    for (const message of prompt.messages) chain.message(message);
  } else if (prompt.kind === 'tokens') {
    chain.tokens(prompt.tokens);
  } else {
    chain.blocks(prompt.kind === 'raw' ? prompt.text : prompt.before);
  }
  return chain.milestones();
}

/**
 * The milestone that all turns of one conversation share: of all up to the first message of its user.
 * `undefined` = there is no prompt.
 */
export function openingOf(
  milestones: readonly Milestone[],
  { prompt }: Pick<Generation, 'prompt'>,
): Milestone | undefined {
  const at = prompt?.kind === 'chat' ? prompt.messages.findIndex(({ role }) => role === 'user') : 0;
  return milestones[Math.min(Math.max(at, 0), firstMax - 1, milestones.length - 1)];
}

function createChain() {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  let chars = 0;
  let count = 0;
  let kept: Milestone[] = [];

  const unit = (value: number): void => {
    a = Math.imul(a ^ value, 0x01000193);
    b = Math.imul((b << 5) ^ (b >>> 27) ^ value, 0x85ebca6b);
  };
  const range = (text: string, from: number, to: number): void => {
    for (let at = from; at < to; at += 1) unit(text.charCodeAt(at));
  };
  const span = (text: string, from: number, to: number): void => {
    unit(to - from);
    if (to - from <= 2 * sampleChars) return range(text, from, to);
    range(text, from, from + sampleChars);
    range(text, to - sampleChars, to);
  };
  const text = (it: string): void => span(it, 0, it.length);
  const milestone = (grown: number): void => {
    chars += grown;
    const hash = mixed(b) * 0x100 + (mixed(a ^ b) >>> 24);
    count += 1;
    kept.push({ hash, chars, number: count });
    if (kept.length > keptMax) thin();
  };
  const thin = () => void (kept = kept.filter(({ number }) => isAnchor(number) || number > count - lastMax));
  return {
    text,
    tool({ name, description }: Tool): void {
      text(name);
      text(description);
      chars += name.length + description.length;
    },
    message({ role, content, name, toolCalls, toolCallId }: ChatMessage): void {
      text(role);
      text(name ?? '');
      text(content);
      for (const call of toolCalls ?? []) text(`${call.id} ${call.name}`);
      text(toolCallId ?? '');
      milestone(content.length);
    },
    blocks(it: string): void {
      for (let at = 0; at < it.length; at += blockChars) {
        const end = Math.min(it.length, at + blockChars);
        span(it, at, end);
        milestone(end - at);
      }
    },
    tokens(ids: readonly number[]): void {
      ids.forEach((id, at) => {
        unit(id);
        if ((at + 1) % blockTokens === 0 || at + 1 === ids.length) milestone(((at % blockTokens) + 1) * charsPerToken);
      });
    },
    milestones(): Milestone[] {
      thin();
      return kept;
    },
  };
}

/** Whether the milestone of this number, from 1, is kept however long the prompt: up to 8, then 2ⁿ and 1.5 · 2ⁿ. */
export function isAnchor(number: number): boolean {
  if (number <= firstMax) return true;
  const power = 2 ** Math.floor(Math.log2(number));
  return number === power || number === 1.5 * power;
}

const hashBytes = 5;

/** Hashes as text that is short in JSON. */
export function packHashes(hashes: readonly number[]): string {
  const bytes = Buffer.alloc(hashes.length * hashBytes);
  hashes.forEach((hash, at) => bytes.writeUIntBE(hash, at * hashBytes, hashBytes));
  return bytes.toString('base64url');
}

/** What is no such text has none. */
export function unpackHashes(packed: unknown): number[] {
  const bytes = Buffer.from(typeof packed === 'string' ? packed : '', 'base64url');
  const hashes: number[] = [];
  for (let at = 0; at + hashBytes <= bytes.length; at += hashBytes) {
    hashes.push((bytes[at] ?? 0) * 2 ** 32 + bytes.readUInt32BE(at + 1));
  }
  return hashes;
}

/** English text averages about four characters a token. */
export const charsPerToken = 4;

/** MurmurHash3's finalizer: every bit of the state moves every bit of the hash. */
function mixed(state: number): number {
  let x = state;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
