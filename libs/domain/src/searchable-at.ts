/**
 * "Was this person searchable at this time?", from the audit: an entry comes before each enrolment, restriction,
 * retirement, lifting and erasure, so what is not in it did not happen. Between an entry and its effect lies a moment in
 * which nobody can say; and where entries have been destroyed at the end of their retention, nobody can either. An entry
 * may also have had no effect, because the log could not be written after it: so the entries are held against the
 * directions in force, and where they differ, nobody can say.
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
  /** Of restrictions and retirements, by what the log of directions says now. */
  readonly isInForce: (directionId: string) => boolean;
}

/** After its entry, an image is in the gallery of every shard within so long, or nobody says it is. */
export const ENROL_SETTLES_WITHIN_MS = 60_000;
/** A restriction is in force on every replica within two seconds, by its design; this is the bound that is answered with. */
export const SUPPRESSION_SETTLES_WITHIN_MS = 5_000;

/** `doubtful`: its entry may have had no effect. */
type Suppression = 'suppressed' | 'settling' | 'doubtful' | 'none';
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
  const suppression = suppressionIn(history, atMs);
  if (suppression === 'suppressed') return answer('no', 'It was restricted or retired then.');
  const presence = presenceAt(history, events, enrolled, atMs, auditWholeSince === undefined);
  if (presence !== undefined) return answer(...presence);
  const erasing = lastOf(events, 'erasing');
  if (erasing !== undefined && (enrolled === undefined || erasing.index > enrolled.index)) {
    // Asked for and not done: it may have waited for a second person, or been restricted instead.
    return answer('unknown', 'Its erasure had been asked for, and the entry of its being carried out is later.');
  }
  if (suppression === 'settling') return answer('unknown', 'A restriction or its lifting was just taking effect.');
  if (suppression === 'doubtful') {
    return answer('unknown', 'A restriction, a retirement or its lifting is in the audit, and may have had no effect.');
  }
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

/** Of all directions: one that surely suppressed it settles the question, whatever is to be said of the others. */
function suppressionIn({ events, isInForce }: ImageHistory, atMs: number): Suppression {
  const ofDirections = new Map<string, ImageEvent[]>();
  for (const event of [...events].sort((a, b) => a.index - b.index)) {
    if (effectOnSearches(event) === undefined) continue;
    const id = event.directionId ?? event.eventId;
    ofDirections.set(id, [...(ofDirections.get(id) ?? []), event]);
  }
  const all = [...ofDirections.values()].map((ofOne) => suppressionBy(ofOne, atMs, isInForce));
  return (['suppressed', 'settling', 'doubtful'] as const).find((one) => all.includes(one)) ?? 'none';
}

/**
 * @param events of one direction, in their order, those after the time in question included: what comes next in the
 *   audit, or what is in force now, must be what the entry leads to
 */
function suppressionBy(events: readonly ImageEvent[], atMs: number, isInForce: ImageHistory['isInForce']): Suppression {
  const isBy = ({ at }: ImageEvent): boolean => Date.parse(at) <= atMs;
  const last = events.findLast(isBy);
  if (last === undefined) return 'none';
  const isSuppressed = effectOnSearches(last) === 'suppressed';
  if (atMs - Date.parse(last.at) < SUPPRESSION_SETTLES_WITHIN_MS) return 'settling';
  const next = events.find((event) => event.index > last.index && !isBy(event));
  // Given or lifted a second time: whoever did so did not find that the first time had had its effect.
  const wasSuppressedAfter = next === undefined ? inForceNow(last, isInForce) : effectOnSearches(next) === 'lifted';
  if (wasSuppressedAfter !== undefined && wasSuppressedAfter !== isSuppressed) return 'doubtful';
  return isSuppressed ? 'suppressed' : 'none';
}

/** @returns undefined where the entry does not say which direction it is about */
function inForceNow({ directionId }: ImageEvent, isInForce: ImageHistory['isInForce']): boolean | undefined {
  return directionId === undefined ? undefined : isInForce(directionId);
}

function effectOnSearches({ action }: ImageEvent): 'suppressed' | 'lifted' | undefined {
  const effect = EFFECTS[action];
  return effect === 'suppressed' || effect === 'lifted' ? effect : undefined;
}

function lastOf(events: readonly ImageEvent[], effect: Effect): ImageEvent | undefined {
  return events.findLast(({ action }) => EFFECTS[action] === effect);
}

/** Of several images of a person: searchable when any was. */
export function anySearchable(images: readonly ImageSearchability[]): Searchability {
  if (images.some(({ searchable }) => searchable === 'yes')) return 'yes';
  return images.some(({ searchable }) => searchable === 'unknown') ? 'unknown' : 'no';
}
