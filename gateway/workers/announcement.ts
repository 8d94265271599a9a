// A worker's announcement from the wire, looked at before it is believed.
import { protocolVersion } from '@berth/shared/announcement.ts';
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';

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

/** What a gateway relies on: one worker's mistake shall not be the failure of every request. */
function isUsable({ protocol, epoch, url, slots, models }: Announcement): boolean {
  const isOrigin = URL.canParse(url) && /^https?:/.test(url) && new URL(url).origin === url;
  const isCard = (card: ModelCard | null) => typeof card?.name === 'string' && Array.isArray(card.capabilities);
  const hasCards = Array.isArray(models) && models.every(isCard);
  return protocol === protocolVersion && typeof epoch === 'string' && isOrigin && Number.isInteger(slots) && hasCards;
}
