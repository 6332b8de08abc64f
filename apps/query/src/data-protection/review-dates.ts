/**
 * When each image held is to be reviewed: the policy, the outcomes that were reported and the reviews that were held.
 * Asked by the register for each image, and again for those that a new direction is about.
 */
import type { Direction, Disposal } from '#domain/direction.js';
import type { HeldImage } from '#domain/held-image.js';
import { reviewDateOf, type RetentionPolicy, type ReviewDate } from '#domain/retention.js';
import type { DirectionChange, DirectionFollower } from '#kafka/direction-follower.js';
import type { GalleryRegister } from './gallery-register.js';

export class ReviewDates {
  /** Outcomes of a stay in custody, by its reference: directions are found by person and image only. */
  private readonly byReference = new Map<string, Map<string, Disposal>>();
  private register: GalleryRegister | undefined;

  /** @param directions not yet started, so that every outcome is heard of */
  constructor(
    readonly policy: RetentionPolicy,
    private readonly directions: Pick<DirectionFollower, 'about' | 'onChange'>,
  ) {
    directions.onChange((changes) => this.apply(changes));
  }

  of(image: HeldImage): ReviewDate {
    const about = this.directions.about(image.imageId, image.subjectId);
    const ofStay = image.custodyReference === undefined ? undefined : this.byReference.get(image.custodyReference);
    const disposals = [...about.filter((one) => one.kind === 'disposal'), ...(ofStay?.values() ?? [])];
    return reviewDateOf(
      this.policy,
      image,
      disposals,
      about.filter((one) => one.kind === 'review'),
    );
  }

  /**
   * Keeps the register's dates right from now on; resolves when those that its file had are right too.
   *
   * @param register caught up
   */
  async keepUpToDate(register: GalleryRegister, signal: AbortSignal): Promise<void> {
    this.register = register;
    await register.reviewAllAgain(signal);
  }

  private apply(changes: readonly DirectionChange[]): void {
    for (const { before, after } of changes) {
      for (const direction of [before, after]) {
        if (direction?.kind === 'disposal' && direction.custodyReference !== undefined) {
          this.index(direction.custodyReference, direction, direction === after);
        }
      }
    }
    // After every direction of the batch is known.
    for (const { before, after } of changes) for (const direction of [before, after]) this.reviewAgain(direction);
  }

  private index(reference: string, disposal: Disposal, inForce: boolean): void {
    const ofStay = this.byReference.get(reference) ?? new Map<string, Disposal>();
    if (inForce) ofStay.set(disposal.directionId, disposal);
    else ofStay.delete(disposal.directionId);
    if (ofStay.size === 0) this.byReference.delete(reference);
    else this.byReference.set(reference, ofStay);
  }

  private reviewAgain(direction: Direction | undefined): void {
    if (direction === undefined || this.register === undefined) return;
    if (direction.kind === 'review') {
      for (const imageId of direction.target.imageIds) this.register.reviewAgain({ imageId });
    } else if (direction.kind === 'disposal') {
      const { custodyReference, target } = direction;
      if (custodyReference !== undefined) this.register.reviewAgain({ custodyReference });
      else if (target.subjectId !== undefined) this.register.reviewAgain({ subjectId: target.subjectId });
    }
  }
}
