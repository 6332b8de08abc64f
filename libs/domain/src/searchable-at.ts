/**
 * "Was this person searchable at this time?", from the audit: an entry comes before each enrolment, restriction,
 * retirement, lifting and erasure, so what is not in it did not happen. Between an entry and its effect lies a moment in
 * which nobody can say; and where entries have been destroyed at the end of their retention, nobody can either.
 */
import type { AuditedUse } from './access-report.js';

export type Searchability = 'yes' | 'no' | 'unknown';

export interface ImageSearchability {
  readonly imageId: string;
  readonly searchable: Searchability;
  readonly because: string;
  /** The audit entries that it follows from, oldest first. */
  readonly evidence: readonly {
    readonly auditIndex: number;
    readonly auditEventId: string;
    readonly action: string;
    readonly at: string;
  }[];
}

/** An audit entry about one image. */
export type ImageEvent = Pick<AuditedUse, 'index' | 'eventId' | 'at' | 'action'> & {
  /** Of a restriction or retirement, given or lifted. */
  readonly directionId?: string | undefined;
};

export interface ImageHistory {
  readonly imageId: string;
  /** Those of {@link SEARCHABILITY_ACTIONS}, in any order. */
  readonly events: readonly ImageEvent[];
  /** When the broker accepted the version that is held now; undefined when none is. ISO 8601. */
  readonly heldSince: string | undefined;
  /** When it was taken, where that is known. ISO 8601 date or instant. */
  readonly takenAt: string | undefined;
}

/** After its entry, an image is in the gallery of every shard within so long, or nobody says it is. */
export const ENROL_SETTLES_WITHIN_MS = 60_000;
/** A restriction is in force on every replica within two seconds, by its design; this is the bound that is answered with. */
export const SUPPRESSION_SETTLES_WITHIN_MS = 5_000;

type Effect = 'enrolled' | 'suppressed' | 'lifted' | 'erasing' | 'erased';

const EFFECTS: Readonly<Record<string, Effect>> = {
  'images-enrolled': 'enrolled',
  'restriction-directed': 'suppressed',
  'retirement-directed': 'suppressed',
  'restricted-instead-of-erased': 'suppressed',
  'restriction-lifted': 'lifted',
  'retirement-lifted': 'lifted',
  'erasure-requested': 'erasing',
  'erasure-approved': 'erasing',
  erasure: 'erased',
};
/** Of the entries that an answer follows from. */
export const SEARCHABILITY_ACTIONS: readonly string[] = Object.keys(EFFECTS);

/**
 * @param at ISO 8601, not in the future
 * @param auditWholeSince every entry from this time on is there; undefined when all ever written are. ISO 8601
 */
export function searchableAt(
  history: ImageHistory,
  at: string,
  auditWholeSince: string | undefined,
): ImageSearchability {
  const atMs = Date.parse(at);
  const events = history.events.filter((event) => Date.parse(event.at) <= atMs).sort((a, b) => a.index - b.index);
  const answer = (searchable: Searchability, because: string): ImageSearchability => ({
    imageId: history.imageId,
    searchable,
    because,
    evidence: events.map(({ index, eventId, action, at: when }) => ({
      auditIndex: index,
      auditEventId: eventId,
      action,
      at: when,
    })),
  });
  if (history.takenAt !== undefined && atMs < Date.parse(history.takenAt)) return answer('no', 'It was taken later.');
  if (auditWholeSince !== undefined && atMs < Date.parse(auditWholeSince)) {
    return answer('unknown', 'The audit entries of that time have been destroyed at the end of their retention.');
  }
  const enrolled = lastOf(events, 'enrolled');
  const erased = lastOf(events, 'erased');
  if (erased !== undefined && (enrolled === undefined || erased.index > enrolled.index)) {
    return answer('no', 'It was erased by then.');
  }
  const suppression = suppressionIn(events, atMs);
  if (suppression === 'suppressed') return answer('no', 'It was restricted or retired then.');
  const presence = presenceAt(history, events, enrolled, atMs, auditWholeSince === undefined);
  if (presence !== undefined) return answer(...presence);
  const erasing = lastOf(events, 'erasing');
  if (erasing !== undefined && (enrolled === undefined || erasing.index > enrolled.index)) {
    // Asked for and not done: it may have waited for a second person, or been restricted instead.
    return answer('unknown', 'Its erasure had been asked for, and the entry of its being carried out is later.');
  }
  if (suppression === 'settling') return answer('unknown', 'A restriction or its lifting was just taking effect.');
  if (history.heldSince === undefined && !history.events.some(({ action }) => EFFECTS[action] === 'erased')) {
    // The entry comes before the enrolment, which may have failed.
    return answer('unknown', 'Its enrolment is in the audit, but neither is it held now nor was it erased.');
  }
  return answer('yes', 'It was in the gallery, and nothing kept it out of searches.');
}

/**
 * @param events up to then, in their order
 * @param isAuditWhole every entry ever written is there
 * @returns undefined when the image was in the gallery
 */
function presenceAt(
  { heldSince }: ImageHistory,
  events: readonly ImageEvent[],
  enrolled: ImageEvent | undefined,
  atMs: number,
  isAuditWhole: boolean,
): [Searchability, string] | undefined {
  if (enrolled !== undefined) {
    const isSettling = atMs - Date.parse(enrolled.at) < ENROL_SETTLES_WITHIN_MS;
    // One that was there before stays in the gallery while its next version is on the way.
    const wasThere = events.some(({ action, index }) => EFFECTS[action] === 'enrolled' && index < enrolled.index);
    if (!isSettling || (wasThere && !wasErasedBefore(events, enrolled))) return undefined;
    return ['unknown', 'It was just being enrolled.'];
  }
  // Enrolled before enrolments were audited: the register says since when this version is held.
  if (heldSince !== undefined && atMs - Date.parse(heldSince) >= ENROL_SETTLES_WITHIN_MS) return undefined;
  return isAuditWhole && events.length === 0
    ? ['no', 'No entry says that it had been enrolled by then.']
    : ['unknown', 'The audit does not say when it was first enrolled.'];
}

function wasErasedBefore(events: readonly ImageEvent[], enrolled: ImageEvent): boolean {
  const before = events.filter(({ index }) => index < enrolled.index);
  const last = before.findLast(({ action }) => ['enrolled', 'erased'].includes(EFFECTS[action] ?? ''));
  return last !== undefined && EFFECTS[last.action] === 'erased';
}

/** @param events up to then, in their order */
function suppressionIn(events: readonly ImageEvent[], atMs: number): 'suppressed' | 'settling' | 'none' {
  const inForce = new Map<string, ImageEvent>();
  let settling = false;
  for (const event of events) {
    const effect = EFFECTS[event.action];
    const id = event.directionId ?? event.eventId;
    if (effect === 'suppressed') inForce.set(id, event);
    if (effect === 'lifted') inForce.delete(id);
    const isFresh = atMs - Date.parse(event.at) < SUPPRESSION_SETTLES_WITHIN_MS;
    if (isFresh && (effect === 'suppressed' || effect === 'lifted')) settling = true;
  }
  const settled = [...inForce.values()].some((event) => atMs - Date.parse(event.at) >= SUPPRESSION_SETTLES_WITHIN_MS);
  if (settled) return 'suppressed';
  return settling ? 'settling' : 'none';
}

function lastOf(events: readonly ImageEvent[], effect: Effect): ImageEvent | undefined {
  return events.findLast(({ action }) => EFFECTS[action] === effect);
}

/** Of several images of a person: searchable when any was. */
export function anySearchable(images: readonly ImageSearchability[]): Searchability {
  if (images.some(({ searchable }) => searchable === 'yes')) return 'yes';
  return images.some(({ searchable }) => searchable === 'unknown') ? 'unknown' : 'no';
}
