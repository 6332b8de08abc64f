/**
 * Makes what is directed so: of the query replicas one, the member of a group that has the topic's only partition,
 * writes the dispositions that follow from restrictions and retirements. It compares what is directed with what the log
 * of dispositions says, for whatever image something changed about, and for all of them when it takes over. So nothing
 * that a predecessor left undone stays undone, and what a predecessor still writes late is set right again.
 *
 * It also writes which images a subject has whom a direction is about, because ingest knows no subjects, and carries
 * out erasures whose process has gone.
 */
import { directionEnd, directionRecord } from '#contracts/direction-record.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { isHold, isSuppression, subjectImagesId, type Direction, type SubjectImages } from '#domain/direction.js';
import { describeError } from '#domain/errors.js';
import type { ImageId, SubjectId } from '#domain/ids.js';
import { backoffMs, pause } from '#kafka/backoff.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import type { DispositionFollower } from '#kafka/disposition-follower.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Log } from '#platform/log.js';
import type { DirectedDispositions } from './directed-dispositions.js';
import type { Erasures } from './erasures.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { GalleryRegister } from './gallery-register.js';

/** Written at a time, so that a direction about one image waits for no sweep over all of them. */
const IMAGES_AT_ONCE_MAX = 500;
/** How often it is asked whether an erasure was abandoned. */
const ABANDONED_INTERVAL_MS = 10_000;

export class DirectionOwner {
  private signal: AbortSignal | undefined;
  /** About which something may have to be written. */
  private readonly images = new Set<ImageId>();
  private readonly subjects = new Set<SubjectId>();
  private wake = (): void => {};

  constructor(
    private readonly directions: DirectionFollower,
    private readonly dispositions: DispositionFollower,
    private readonly register: Pick<GalleryRegister, 'imagesOf' | 'onChange'>,
    private readonly directed: DirectedDispositions,
    private readonly erasures: Pick<Erasures, 'resumeAbandoned'>,
    private readonly publisher: Publisher,
    private readonly log: Pick<Log, 'info' | 'warn'>,
  ) {
    directions.onChange((changes) => {
      for (const { before, after } of changes) {
        this.noticeDirection(before);
        this.noticeDirection(after);
      }
    });
    dispositions.onChange((changes) => this.noticeImages(changes.map(({ imageId }) => imageId)));
    register.onChange((changes) => {
      for (const { imageId, image } of changes) {
        this.noticeImages([imageId]);
        if (image !== undefined) this.noticeSubject(image.subjectId);
        // Whose it was before, as far as that is written.
        for (const subjectId of this.directions.subjectsOf(imageId)) this.noticeSubject(subjectId);
      }
    });
  }

  /** Begins to own: until the signal is aborted, because another replica is the owner then. */
  own(signal: AbortSignal): void {
    this.signal = signal;
    void this.run(signal);
  }

  private async run(signal: AbortSignal): Promise<void> {
    let attempt = 0;
    let sweeps = true;
    let resumedAtMs = -Infinity;
    while (!signal.aborted) {
      try {
        if (sweeps) {
          await this.directions.upToDate();
          this.noticeAll();
          sweeps = false;
          this.log.info('directions-owned', { images: this.images.size });
        }
        await this.writeDispositions(signal);
        await this.writeSubjectImages(signal);
        if (performance.now() - resumedAtMs > ABANDONED_INTERVAL_MS && !signal.aborted) {
          await this.erasures.resumeAbandoned();
          resumedAtMs = performance.now();
        }
        attempt = 0;
        await this.noticed(signal);
      } catch (error) {
        attempt++;
        // What was not written is found by comparing everything again.
        sweeps = true;
        if (!signal.aborted) this.log.warn('directions-not-carried-out', { attempt, error: describeError(error) });
        await pause(backoffMs(attempt), signal);
      }
    }
  }

  /** Resolves when there is something to do, or soon. */
  private async noticed(signal: AbortSignal): Promise<void> {
    if (this.images.size > 0 || this.subjects.size > 0) return;
    const woken = new AbortController();
    this.wake = () => woken.abort();
    await pause(ABANDONED_INTERVAL_MS, AbortSignal.any([signal, woken.signal]));
  }

  private async writeDispositions(signal: AbortSignal): Promise<void> {
    while (this.images.size > 0 && !signal.aborted) {
      const slice = [...this.images].slice(0, IMAGES_AT_ONCE_MAX);
      for (const imageId of slice) this.images.delete(imageId);
      const records = this.directed.missingOf(slice);
      if (records.length > 0) await this.publisher.publishAll(records);
    }
  }

  /** Of each subject whom a direction is about, the images that are held now: ingest knows no subjects. */
  private async writeSubjectImages(signal: AbortSignal): Promise<void> {
    const subjects = [...this.subjects];
    this.subjects.clear();
    if (signal.aborted) return;
    const records = subjects.flatMap((subjectId) => this.subjectImagesRecord(subjectId) ?? []);
    if (records.length > 0) await this.publisher.publishAll(records);
  }

  private subjectImagesRecord(subjectId: SubjectId): OutgoingRecord | undefined {
    const directionId = subjectImagesId(subjectId);
    const written = this.directions.get(directionId);
    if (!this.directions.aboutSubject(subjectId).some(isAboutLaterImages)) {
      return written === undefined ? undefined : directionEnd(directionId, QUERY_SOURCE);
    }
    const imageIds = this.register.imagesOf(subjectId).map(({ imageId }) => imageId);
    if (written !== undefined && isSameSet(written.target.imageIds, imageIds)) return undefined;
    const subjectImages: SubjectImages = {
      directionId,
      kind: 'subject-images',
      target: { subjectId, imageIds },
      authority: 'custody-face-search',
      reason: 'Directions about the subject hold for these images.',
      by: 'custody-face-search',
      role: 'system',
      at: new Date().toISOString(),
    };
    return directionRecord(subjectImages, QUERY_SOURCE);
  }

  private noticeAll(): void {
    const suppressed = [...this.dispositions.all()].filter(({ directionId }) => directionId !== undefined);
    this.noticeImages(suppressed.map(({ imageId }) => imageId));
    for (const kind of ['restriction', 'retirement', 'evidence-hold', 'subject-images'] as const) {
      for (const direction of this.directions.all(kind)) this.noticeDirection(direction);
    }
  }

  private noticeDirection(direction: Direction | undefined): void {
    if (direction === undefined) return;
    const { imageIds, subjectId } = direction.target;
    if (isSuppression(direction)) this.noticeImages(imageIds);
    if (subjectId === undefined || !(isAboutLaterImages(direction) || direction.kind === 'subject-images')) return;
    this.noticeSubject(subjectId);
    if (isSuppression(direction)) this.noticeImages(this.register.imagesOf(subjectId).map(({ imageId }) => imageId));
  }

  private noticeImages(imageIds: readonly ImageId[]): void {
    // Whoever takes over looks at everything.
    if (this.signal?.aborted !== false || imageIds.length === 0) return;
    for (const imageId of imageIds) this.images.add(imageId);
    this.wake();
  }

  private noticeSubject(subjectId: SubjectId): void {
    if (this.signal?.aborted !== false) return;
    this.subjects.add(subjectId);
    this.wake();
  }
}

/** Whether images count that its subject gets later. */
function isAboutLaterImages(direction: Direction): boolean {
  return isSuppression(direction) || isHold(direction);
}

function isSameSet(a: readonly ImageId[], b: readonly ImageId[]): boolean {
  const all = new Set(a);
  return all.size === b.length && b.every((id) => all.has(id));
}
