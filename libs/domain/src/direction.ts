/**
 * Directions: what people with authority have said shall be done, or not be done, with custody images. They are kept on
 * `custody.directions` for as long as they hold; the log's order decides between two of them.
 *
 * RESTRICT keeps an image and takes it out of searches. RETIRE does the same at the end of a review, without a dispute.
 * An EVIDENCE HOLD leaves an image searchable and forbids its erasure. An OPEN SEARCH forbids the erasure of its
 * candidates until it is closed (Criminal Procedure and Investigations Act 1996). ERASE destroys, and is never undone.
 */
import type { CaseOutcome } from './case-outcome.js';
import { mergeDisposition, type Disposition } from './disposition.js';
import type { Role } from './identity.js';
import type { ImageId, Offset, SearchId, SubjectId } from './ids.js';

/** What a direction is about. One about a subject holds for images of theirs that are enrolled later, too. */
export interface DirectionTarget {
  readonly subjectId?: SubjectId;
  /** Of a subject: the images that were held when it was given; {@link SubjectImages} names those that came later. */
  readonly imageIds: readonly ImageId[];
}

interface DirectionBase {
  readonly directionId: string;
  readonly target: DirectionTarget;
  /** What permits or demands it, for example `CPIA 1996` or an order's number. */
  readonly authority: string;
  readonly reason: string;
  /** The person who gave it; for what follows from a rule, the service. */
  readonly by: string;
  readonly role: Role | 'system';
  /** The system that spoke for the person. */
  readonly system?: string;
  /** ISO 8601 UTC. */
  readonly at: string;
  /** SHA-256 of the request that made it: a repeated `Idempotency-Key` is compared by it. */
  readonly requestSha256?: string;
}

export interface Restriction extends DirectionBase {
  readonly kind: 'restriction';
  /** The erasure that was asked for and could not be: its id, or its null's place on `custody.images`. */
  readonly insteadOf?: string;
  /** What forbade that erasure. */
  readonly heldBy?: readonly HeldBy[];
}

export interface Retirement extends DirectionBase {
  readonly kind: 'retirement';
}

export interface EvidenceHold extends DirectionBase {
  readonly kind: 'evidence-hold';
}

/** Its id is {@link openSearchId}; it ends when the search is closed. */
export interface OpenSearch extends DirectionBase {
  readonly kind: 'open-search';
}

/**
 * The images of a subject whom some direction is about, as they are held now: whoever is asked about an image, and does
 * not know whose it is, finds the direction by them.
 */
export interface SubjectImages extends DirectionBase {
  readonly kind: 'subject-images';
}

/** A direction that forbids an erasure, as the one who asked for the erasure is told of it. */
export interface HeldBy {
  readonly directionId: string;
  readonly kind: Hold['kind'];
}

export interface ErasedImage {
  readonly imageId: ImageId;
  readonly outcome: 'erase' | 'restricted-instead';
  /** Of `erase`: the null's place on `custody.images`. Inclusive. */
  readonly source?: { readonly partition: number; readonly offset: Offset };
  /** Of `erase`: the disposition's place on `custody.dispositions`. Inclusive. */
  readonly disposition?: { readonly partition: number; readonly offset: Offset };
  /** Of `restricted-instead`. */
  readonly heldBy?: readonly HeldBy[];
  readonly restrictionId?: string;
}

export interface Erasure extends DirectionBase {
  readonly kind: 'erasure';
  /** While it waits for a second person nothing happens; once it is decided, nothing takes it back. */
  readonly state: 'awaiting-approval' | 'decided';
  readonly approvedBy?: string;
  readonly approvedAt?: string;
  /** What was done for each image of the target; absent until all of it is in the log. */
  readonly images?: readonly ErasedImage[];
}

/** That one image of an erasure is destroyed, store by store; written by whoever did it. */
export interface ErasureReceipt extends DirectionBase {
  readonly kind: 'erasure-receipt';
  readonly erasureId: string;
  /** The null's place on `custody.images`. Inclusive, as all of these. */
  readonly source: { readonly partition: number; readonly offset: Offset };
  readonly disposition: { readonly partition: number; readonly offset: Offset };
  /** The tombstone's place on `gallery.templates`. */
  readonly tombstone: { readonly partition: number; readonly offset: Offset };
  /** Since when the image store holds no photograph that the erasure covers. ISO 8601 UTC. */
  readonly imageStoreEmptiedAt: string;
}

/** One place that may hold what is erased, and since when it is known to hold nothing of it any more. */
export interface DestroyedStore {
  /** See `storesOf` in erasure-destruction.ts for the names. */
  readonly store: string;
  /** ISO 8601 UTC; null while it may hold something. */
  readonly at: string | null;
  /**
   * Of a log: the record that was appended after everything that is to go. When compaction has taken that, it has taken
   * what was before. Inclusive.
   */
  readonly marker?: Offset;
}

/**
 * That one image is destroyed, whoever asked for the erasure and how: store by store, every replica's memory and files
 * among them. Written as the stores confirm; whole when `completedAt` is there.
 */
export interface ErasureDestruction extends DirectionBase {
  readonly kind: 'erasure-destruction';
  /** What came from this record of `custody.images`, or one before, is destroyed. Inclusive. */
  readonly through: Offset;
  /** Since when the erasure is in force. ISO 8601 UTC. */
  readonly erasedAt: string;
  readonly stores: readonly DestroyedStore[];
  /** ISO 8601 UTC. */
  readonly completedAt?: string;
}

/**
 * The outcome of a case, as it was reported: of a person, or of one stay in custody. It sets review dates, and neither
 * suppresses nor erases. Whom it concerns is worked out when it is asked, so its target names no images.
 */
export interface Disposal extends DirectionBase {
  readonly kind: 'disposal';
  /** Instead of the target's subject. */
  readonly custodyReference?: string;
  /** Where references are a force's own. */
  readonly force?: string;
  readonly outcome: CaseOutcome;
  /** When the case came to it, `YYYY-MM-DD`. */
  readonly outcomeOn: string;
}

/** That a review has decided to keep these images: until then. Whatever else it decides is a direction of its own. */
export interface RetentionReview extends DirectionBase {
  readonly kind: 'review';
  /** `YYYY-MM-DD`. */
  readonly retainUntil: string;
}

export type Direction =
  | Restriction
  | Retirement
  | EvidenceHold
  | OpenSearch
  | SubjectImages
  | Erasure
  | ErasureReceipt
  | ErasureDestruction
  | Disposal
  | RetentionReview;
export type DirectionKind = Direction['kind'];
/** What forbids an erasure. */
export type Hold = EvidenceHold | OpenSearch;
/** What keeps an image out of searches. */
export type Suppression = Restriction | Retirement;

const OPEN_SEARCH = 'search/';

export function openSearchId(id: SearchId): string {
  return `${OPEN_SEARCH}${id}`;
}

export function searchOfHold({ directionId }: OpenSearch): SearchId {
  return directionId.slice(OPEN_SEARCH.length) as SearchId;
}

export function subjectImagesId(subject: SubjectId): string {
  return `subject/${subject}`;
}

export function erasureReceiptId(erasureId: string, image: ImageId): string {
  return `receipt/${erasureId}/${image}`;
}

export function erasureDestructionId(image: ImageId, through: Offset): string {
  return `destruction/${image}/${through}`;
}

export function isHold(direction: Direction): direction is Hold {
  return direction.kind === 'evidence-hold' || direction.kind === 'open-search';
}

export function isSuppression(direction: Direction): direction is Suppression {
  return direction.kind === 'restriction' || direction.kind === 'retirement';
}

/** Every direction in force, found by its id and by what it is about. */
export class Directions {
  private readonly byId = new Map<string, Direction>();
  private readonly byImage = new Map<ImageId, Set<string>>();
  private readonly bySubject = new Map<SubjectId, Set<string>>();

  get(id: string): Direction | undefined {
    return this.byId.get(id);
  }

  all<K extends DirectionKind>(kind: K): readonly Extract<Direction, { kind: K }>[] {
    return [...this.byId.values()].filter(
      (direction): direction is Extract<Direction, { kind: K }> => direction.kind === kind,
    );
  }

  put(direction: Direction): void {
    this.remove(direction.directionId);
    this.byId.set(direction.directionId, direction);
    for (const image of direction.target.imageIds) index(this.byImage, image, direction.directionId);
    if (direction.target.subjectId !== undefined)
      index(this.bySubject, direction.target.subjectId, direction.directionId);
  }

  remove(id: string): void {
    const known = this.byId.get(id);
    if (known === undefined) return;
    this.byId.delete(id);
    for (const image of known.target.imageIds) unindex(this.byImage, image, id);
    if (known.target.subjectId !== undefined) unindex(this.bySubject, known.target.subjectId, id);
  }

  /**
   * Every direction about the image, or about the subject whose image it is.
   *
   * @param subject undefined when it is not known: then an image counts as the subject's by what was written of it
   */
  about(image: ImageId, subject: SubjectId | undefined): readonly Direction[] {
    const named = this.directionsOf(this.byImage.get(image));
    const subjects = subject === undefined ? this.subjectsOf(image) : [subject];
    const found = new Set(
      named.filter(({ target }) => subject === undefined || (target.subjectId ?? subject) === subject),
    );
    for (const of of subjects) for (const direction of this.aboutSubject(of)) found.add(direction);
    return [...found].filter(({ kind }) => kind !== 'subject-images');
  }

  /** Every subject whom a record says the image to be of. */
  subjectsOf(image: ImageId): readonly SubjectId[] {
    return this.directionsOf(this.byImage.get(image)).flatMap(({ target }) => target.subjectId ?? []);
  }

  aboutSubject(subject: SubjectId): readonly Direction[] {
    return this.directionsOf(this.bySubject.get(subject));
  }

  /**
   * A hold that names an image keeps it, whoever it turns out to be of: evidence is not let go by a correction of its
   * record, but by whoever lifts the hold.
   */
  holdsOn(image: ImageId, subject: SubjectId | undefined): readonly Hold[] {
    const named = this.directionsOf(this.byImage.get(image));
    return [...new Set([...named, ...this.about(image, subject)])].filter(isHold);
  }

  /** What keeps the image out of searches: restricted beats retired, of several of a kind the first that was given. */
  suppressionOf(image: ImageId, subject: SubjectId | undefined): Suppression | undefined {
    return this.about(image, subject).filter(isSuppression).sort(bySuppressionOrder)[0];
  }

  private directionsOf(ids: ReadonlySet<string> | undefined): readonly Direction[] {
    return [...(ids ?? [])].map((id) => this.byId.get(id)!);
  }
}

function bySuppressionOrder(a: Suppression, b: Suppression): number {
  if (a.kind !== b.kind) return a.kind === 'restriction' ? -1 : 1;
  if (a.at !== b.at) return a.at < b.at ? -1 : 1;
  return a.directionId < b.directionId ? -1 : 1;
}

function index<K>(map: Map<K, Set<string>>, key: K, id: string): void {
  const ids = map.get(key);
  if (ids === undefined) map.set(key, new Set([id]));
  else ids.add(id);
}

function unindex<K>(map: Map<K, Set<string>>, key: K, id: string): void {
  const ids = map.get(key);
  ids?.delete(id);
  if (ids?.size === 0) map.delete(key);
}

/**
 * What is to be written to the log of dispositions, in order, so that the suppression of an image is in force: nothing,
 * a disposition, or a null that lifts one, and after it the bound of an erasure, which no null lifts and which must not
 * be left to the compacted log to remember. What names no direction was decided elsewhere (by hand, or because a record
 * could not be read), and stays as it is.
 *
 * @param known what is in force
 * @param sourceOffset of the image as it is held; 0 when it is not
 */
export function dispositionsUnder(
  suppression: Suppression | undefined,
  imageId: ImageId,
  known: Disposition | undefined,
  sourceOffset: Offset,
): readonly (Disposition | null)[] {
  const isSuppressed = known !== undefined && known.kind !== 'erased';
  if (isSuppressed && known.directionId === undefined) return [];
  if (suppression === undefined) {
    if (!isSuppressed) return [];
    const bound = mergeDisposition(known, null);
    return bound === undefined ? [null] : [null, { ...bound, lifts: known.directionId! }];
  }
  const kind = suppression.kind === 'restriction' ? 'restricted' : 'retired';
  if (known?.kind === kind && known.directionId === suppression.directionId) return [];
  const { at, authority, reason, directionId } = suppression;
  return [mergeDisposition(known, { imageId, kind, since: at, authority, reason, sourceOffset, directionId })!];
}
