/** "Was this person searchable at this time?", answered from the audit. The question is in the audit before the answer. */
import type { AuditLog } from '#audit/audit-log.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import type { HeldImage } from '#domain/held-image.js';
import { hasRole, type Actor } from '#domain/identity.js';
import type { ImageId, SubjectId } from '#domain/ids.js';
import {
  anySearchable,
  searchableAt,
  SEARCHABILITY_ACTIONS,
  type ImageEvent,
  type ImageHistory,
  type ImageSearchability,
  type Searchability,
} from '#domain/searchable-at.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import { idempotentId } from '#platform/idempotency.js';
import type { AuditTrail, TrailEntry } from '../audit/audit-trail.js';
import type { GalleryRegister } from './gallery-register.js';

export interface SubjectSearchability {
  readonly subjectId: string;
  /** ISO 8601. */
  readonly at: string;
  /** `yes` when a search could return any image of the person; `no` only when each could not be returned. */
  readonly searchable: Searchability;
  /** Those that are on record as this person's now, or were when they were erased. */
  readonly images: readonly ImageSearchability[];
  /** Since when every audit entry is there; null when none was ever destroyed. */
  readonly auditWholeSince: string | null;
  readonly statement: string;
}

const STATEMENT =
  'Searchable: in the gallery and not kept out of searches. Whether a search ran, and whether it would have returned the person, is another question.';

export class SearchableImages {
  constructor(
    private readonly register: Pick<GalleryRegister, 'image' | 'imagesOf'>,
    private readonly directions: Pick<DirectionFollower, 'get' | 'upToDate'>,
    private readonly trail: AuditTrail,
    private readonly audit: AuditLog,
  ) {}

  /** @param at ISO 8601, not in the future. @throws Failure AUDIT_UNAVAILABLE, VIEW_BEHIND, DIRECTIONS_BEHIND, KAFKA_UNAVAILABLE */
  async of(actor: Actor, subjectId: SubjectId, at: string): Promise<SubjectSearchability> {
    await this.trail.upToDate();
    // After the trail: what an entry that is read here led to, if anything, is known.
    await this.directions.upToDate();
    await this.audit.append([
      {
        operation: 'consultation',
        action: 'searchability-asked',
        actor: actor.id,
        role: hasRole(actor, ['data-protection']) ? 'data-protection' : 'auditor',
        purpose: 'accountability',
        subjectIds: [subjectId],
        recipients: [actor.id],
        detail: { at },
      },
    ]);
    const wholeSince = this.trail.wholeSince();
    const trail = this.trail.about({ subjectId });
    const about = trail.entries.filter(({ action }) => SEARCHABILITY_ACTIONS.includes(action));
    const { imageIds, isComplete } = this.imagesOf(subjectId, about);
    const ofSubject = about.filter(({ detail }) => detail['about'] === 'subject');
    const images = imageIds.map((id) =>
      trail.cutOff || this.trail.about({ imageId: id }).cutOff
        ? unknownOf(id)
        : searchableAt(this.historyOf(id, ofSubject), at, wholeSince),
    );
    const overall = anySearchable(images);
    const mayMiss = trail.cutOff || !isComplete || (wholeSince !== undefined && at < wholeSince);
    return {
      subjectId,
      at,
      searchable: overall === 'no' && mayMiss ? 'unknown' : overall,
      images,
      auditWholeSince: wholeSince ?? null,
      statement: STATEMENT,
    };
  }

  /**
   * Held now, or named by an entry that says whose they were. An entry about several people's images does not always say
   * whose is whose; what it leaves open is not held against the person, nor taken for nothing.
   */
  private imagesOf(
    subjectId: SubjectId,
    about: readonly TrailEntry[],
  ): { readonly imageIds: readonly ImageId[]; readonly isComplete: boolean } {
    const imageIds = new Set<ImageId>(this.register.imagesOf(subjectId).map(({ imageId }) => imageId));
    let isComplete = true;
    for (const entry of about) {
      const theirs = this.imagesNamed(entry, subjectId);
      if (theirs === undefined) isComplete &&= entry.imageIds.every((id) => this.isHeld(id));
      for (const id of theirs ?? []) {
        const now = this.register.image(id)?.subjectId;
        if (now === undefined || now === subjectId) imageIds.add(id);
      }
    }
    return { imageIds: [...imageIds].sort(), isComplete };
  }

  /** @returns undefined when the entry does not say which of its images are this person's */
  private imagesNamed(
    { action, subjectIds, imageIds, detail }: TrailEntry,
    subjectId: SubjectId,
  ): ImageId[] | undefined {
    const ids = imageIds as readonly ImageId[];
    // Of an enrolment, image for image.
    if (action === 'images-enrolled' && ids.length === subjectIds.length) {
      return ids.filter((_, i) => subjectIds[i] === subjectId);
    }
    if (subjectIds.length === 1 && (ids.length === 1 || detail['about'] === 'subject')) return [...ids];
    const erasure = typeof detail['erasureId'] === 'string' ? this.directions.get(detail['erasureId']) : undefined;
    return erasure?.target.subjectId === subjectId ? [...erasure.target.imageIds] : undefined;
  }

  private isHeld(id: string): boolean {
    return this.register.image(id as ImageId) !== undefined;
  }

  private historyOf(imageId: ImageId, ofSubject: readonly TrailEntry[]): ImageHistory {
    const entries = this.trail
      .about({ imageId })
      .entries.filter(({ action }) => SEARCHABILITY_ACTIONS.includes(action));
    const unique = new Map([...entries, ...ofSubject].map((entry) => [entry.index, entry]));
    const held: HeldImage | undefined = this.register.image(imageId);
    return {
      imageId,
      events: [...unique.values()].map((entry) => imageEvent(entry, imageId)),
      heldSince: held?.acceptedAt,
      takenAt: held?.capturedAt,
      isInForce: (directionId) => this.directions.get(directionId) !== undefined,
    };
  }
}

/** What was left out may say the opposite of what is there. */
function unknownOf(imageId: ImageId): ImageSearchability {
  return { imageId, searchable: 'unknown', because: 'Not every audit entry about it can be read here.', evidence: [] };
}

function imageEvent({ index, eventId, at, action, detail }: TrailEntry, imageId: ImageId): ImageEvent {
  return { index, eventId, at, action, directionId: directionIdOf(action, detail, imageId) };
}

/** The restriction that took the place of an erasure has an id that follows from what was asked for. */
function directionIdOf(action: string, detail: TrailEntry['detail'], imageId: ImageId): string | undefined {
  const { directionId, erasureId, partition, offset } = detail;
  if (typeof directionId === 'string') return directionId;
  if (action !== 'restricted-instead-of-erased') return undefined;
  return typeof erasureId === 'string'
    ? idempotentId(erasureId, 'restricted-instead', imageId)
    : idempotentId(CUSTODY_IMAGES, `${partition}/${offset}`, imageId);
}
