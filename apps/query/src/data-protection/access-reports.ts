/** Puts together what a person is told who asks what is held about them. The request is in the audit before the answer. */
import type { AuditLog } from '#audit/audit-log.js';
import {
  accessReport,
  type AccessReport,
  type FoundInSearch,
  type OutcomeForSubject,
  type SubjectFacts,
} from '#domain/access-report.js';
import { isSuppressed, type Disposition } from '#domain/disposition.js';
import type { HeldImage } from '#domain/held-image.js';
import type { Actor } from '#domain/identity.js';
import type { ImageId, SubjectId } from '#domain/ids.js';
import type { OperatorSearchRecord } from '#domain/operator-search.js';
import { isSuspect, isWithdrawn, possibleMatchRank, type RetrospectiveSearch } from '#domain/retrospective-search.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import type { AuditTrail, TrailEntry } from '../audit/audit-trail.js';
import type { GalleryRegister } from './gallery-register.js';
import type { ReviewDates } from './review-dates.js';
import type { ReturnedCandidate } from '../searches/search-tables.js';
import type { SearchView } from '../searches/search-view.js';

export class AccessReports {
  constructor(
    private readonly register: Pick<GalleryRegister, 'image' | 'imagesOf'>,
    private readonly reviewDates: Pick<ReviewDates, 'of'>,
    private readonly directions: Pick<DirectionFollower, 'suppressionOf' | 'holdsOn'>,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
    private readonly view: Pick<SearchView, 'get' | 'searchesWith'>,
    private readonly trail: AuditTrail,
    private readonly audit: AuditLog,
  ) {}

  /** @throws Failure AUDIT_UNAVAILABLE, VIEW_BEHIND, KAFKA_UNAVAILABLE */
  async of(actor: Actor, subjectId: SubjectId): Promise<AccessReport> {
    await this.trail.upToDate();
    const images = this.register.imagesOf(subjectId);
    await this.audit.append([
      {
        operation: 'disclosure',
        action: 'access-report',
        actor: actor.id,
        role: 'data-protection',
        purpose: 'DPA 2018 s.45',
        subjectIds: [subjectId],
        imageIds: images.map(({ imageId }) => imageId),
        recipients: [actor.id],
      },
    ]);
    const { uses, usesCutOff } = this.usesOf(subjectId, images);
    return accessReport(
      {
        subjectId,
        images: images.map((image) => this.reasonsOf(image)),
        searches: this.searchesOf(subjectId, images),
        subjectOf: (id) => this.register.image(id)?.subjectId,
        uses,
        usesCutOff,
      },
      new Date().toISOString(),
    );
  }

  private reasonsOf(image: HeldImage): SubjectFacts['images'][number] {
    const { imageId, subjectId, sourceOffset } = image;
    const disposition = this.dispositionOf(imageId);
    const elsewhere =
      disposition !== undefined && isSuppressed(disposition, sourceOffset)
        ? {
            kind: disposition.kind === 'retired' ? ('retirement' as const) : ('restriction' as const),
            authority: disposition.authority,
            at: disposition.since,
          }
        : undefined;
    return {
      image,
      review: this.reviewDates.of(image),
      suppression: this.directions.suppressionOf(imageId, subjectId) ?? elsewhere,
      holds: this.directions.holdsOn(imageId, subjectId).map(({ directionId, kind }) => ({ directionId, kind })),
    };
  }

  /** Under this person's id then, or by an image that is theirs now. */
  private searchesOf(subjectId: SubjectId, images: readonly HeldImage[]): readonly FoundInSearch[] {
    const returned = [
      ...this.view.searchesWith({ subjectId }),
      ...images.flatMap(({ imageId }) => this.view.searchesWith({ imageId })),
    ];
    const unique = new Map(returned.map((one) => [`${one.searchId}/${one.rank}`, one]));
    return [...unique.values()].flatMap((one) => this.foundIn(one) ?? []);
  }

  private foundIn({ searchId, kind, rank, imageId }: ReturnedCandidate): FoundInSearch | undefined {
    const viewed = this.view.get(searchId);
    if (viewed === undefined || viewed.kind === 'refused') return undefined;
    const candidate = viewed.search.answer?.candidates.find((one) => one.rank === rank);
    const common = { searchId, kind, rank, imageId, aboveThreshold: candidate?.aboveThreshold ?? false };
    if (viewed.kind === 'operator') {
      const { at, grounds } = viewed.search;
      return { ...common, at, grounds, offence: null, outcome: operatorOutcome(viewed.search, rank), isOpen: false };
    }
    const { receivedAt: at, request, state } = viewed.search;
    return {
      ...common,
      at,
      grounds: null,
      offence: request.offence,
      outcome: retrospectiveOutcome(viewed.search, rank),
      isOpen: state !== 'CLOSED',
    };
  }

  private usesOf(
    subjectId: SubjectId,
    images: readonly HeldImage[],
  ): { readonly uses: readonly TrailEntry[]; readonly usesCutOff: boolean } {
    const trails = [this.trail.about({ subjectId }), ...images.map(({ imageId }) => this.trail.about({ imageId }))];
    const unique = new Map(trails.flatMap(({ entries }) => entries).map((entry) => [entry.index, entry]));
    return { uses: [...unique.values()], usesCutOff: trails.some(({ cutOff }) => cutOff) };
  }
}

function operatorOutcome({ outcome }: OperatorSearchRecord, rank: number): OutcomeForSubject {
  if (outcome === null) return 'no-outcome-recorded';
  return outcome.rank === rank ? 'confirmed' : 'not-confirmed';
}

/** Where it is decided, by the last word on this candidate. */
function retrospectiveOutcome(search: RetrospectiveSearch, rank: number): OutcomeForSubject {
  if (isWithdrawn(search, rank)) return 'withdrawn';
  if (isSuspect(search, rank)) return 'added-as-suspect';
  switch (search.state) {
    case 'NO_MATCH':
    case 'INCONCLUSIVE':
    case 'REJECTED':
    case 'SUSPECT_ADDED':
    case 'CLOSED':
      return 'not-a-match';
    default:
      return possibleMatchRank(search) === rank ? 'possible-match' : 'under-review';
  }
}
