// A worker's announcement from the wire, looked at before it is believed.
import { protocolVersion } from '@berth/shared/announcement.ts';
import type { Announcement, ModelCard, Problem } from '@berth/shared/announcement.ts';

/** What is wrong with an announcement, and what to do. */
export type Fault = 'announces something that cannot be read' | 'speaks another version of the protocol: update it';

/** @param worker the id under which the ledger has it */
export function readAnnouncement(worker: string, text: string): Announcement | Fault {
  const announcement = parse(text);
  const protocol = announcement?.protocol;
  if (typeof protocol === 'number' && protocol !== protocolVersion) {
    return 'speaks another version of the protocol: update it';
  }
  return announcement?.worker === worker && isUsable(announcement)
    ? announcement
    : 'announces something that cannot be read';
}

function parse(text: string): Announcement | null {
  try {
    return JSON.parse(text) as Announcement | null;
  } catch {
    return null;
  }
}

const modelsMax = 10_000;
const slotsMax = 65_536;
const textCharsMax = 4_096;

/**
 * What a gateway relies on: one worker's mistake shall not be the failure of every request. What an older worker does not
 * say is left out; what is said must be of its kind.
 */
function isUsable(told: Partial<Announcement>): boolean {
  const { protocol, epoch, url, slots, loadedMax = 0, state, device, models, problems = [] } = told;
  const isOrigin = isText(url) && URL.canParse(url) && /^https?:/.test(url) && new URL(url).origin === url;
  const areCounts = [slots, loadedMax].every(
    (count = -1) => Number.isInteger(count) && count >= 0 && count <= slotsMax,
  );
  const areCards = Array.isArray(models) && models.length <= modelsMax && models.every(isCard);
  const areProblems = Array.isArray(problems) && problems.every(isProblem);
  const areTexts = [epoch, state ?? '', device ?? ''].every(isText);
  return protocol === protocolVersion && isOrigin && areCounts && areTexts && areCards && areProblems;
}

function isCard(card: Partial<ModelCard> | null): boolean {
  if (typeof card !== 'object' || card === null) return false;
  const { name, digest = '', architecture = '', parameterSize = '', quantization = '', modifiedAt = '' } = card;
  const { capabilities, loaded = false, evictable = false, failed = null } = card;
  const { contextTokens = 0, sizeBytes = 0, vramBytes = 0, trainedTokens = null, expiresAt = null } = card;
  return (
    [name, digest, architecture, parameterSize, quantization, modifiedAt].every(isText) &&
    Array.isArray(capabilities) &&
    capabilities.every(isText) &&
    [loaded, evictable].every((flag) => typeof flag === 'boolean') &&
    [contextTokens, sizeBytes, vramBytes, trainedTokens ?? 0, expiresAt ?? 0].every(Number.isFinite) &&
    (failed === null || isText(failed.reason ?? ''))
  );
}

function isProblem(problem: Problem | null): boolean {
  return isText(problem?.model) && isText(problem?.reason);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= textCharsMax;
}
