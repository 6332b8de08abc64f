/**
 * Where the retention policy says of a rule that it deletes, asks for the erasure of what is due by that rule and of
 * which nobody has decided. It asks as a person would: what is held is restricted instead, every step is in the audit,
 * and the receipt is that of any erasure. A policy of which no rule says so, as the one that is delivered, asks nothing;
 * nor does one that was deployed ahead of the day from which it has effect.
 */
import { dayAfter } from '#contracts/retention-forms.js';
import type { ErasureRequest } from '#contracts/erasure-form.js';
import { describeError } from '#domain/errors.js';
import type { HeldImage } from '#domain/held-image.js';
import type { Actor } from '#domain/identity.js';
import { mayDelete, type ReviewDate } from '#domain/retention.js';
import { pause } from '#kafka/backoff.js';
import { requestDigest } from '#platform/idempotency.js';
import type { Log } from '#platform/log.js';
import type { GalleryRegister } from './gallery-register.js';
import type { ReviewDates } from './review-dates.js';

/** Days are what the policy counts in. */
const INTERVAL_MS = 60 * 60 * 1000;
const PAGE = 100;
const AUTHORITY_LENGTH_MAX = 200;

export class RuleErasures {
  constructor(
    private readonly register: Pick<GalleryRegister, 'reviewsDue' | 'image'>,
    private readonly reviewDates: Pick<ReviewDates, 'of' | 'policy'>,
    /** Resolves when this replica knows every review and disposal that was in the log when it was asked. */
    private readonly upToDate: () => Promise<void>,
    /** Whether a hold forbids its erasure now. */
    private readonly isHeld: (image: HeldImage) => boolean,
    private readonly erase: (actor: Actor, request: ErasureRequest, key: string) => Promise<unknown>,
    private readonly log: Pick<Log, 'info' | 'warn'>,
  ) {}

  /** For as long as this replica is the one that does. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.askForAll(signal);
      } catch (error) {
        this.log.warn('rule-erasures-not-asked', { error: describeError(error) });
      }
      await pause(INTERVAL_MS, signal);
    }
  }

  /** @returns how many erasures were asked for */
  async askForAll(signal: AbortSignal, now: Date = new Date()): Promise<number> {
    const { policy } = this.reviewDates;
    const rules = [...Object.values(policy.outcomes), policy.withoutOutcome, ...Object.values(policy.lawfulBases)];
    if (!rules.some(({ deleteByRule }) => deleteByRule)) return 0;
    if (!mayDelete(policy, now)) {
      const { version: policyVersion, effectiveFrom } = policy;
      this.log.info('rule-erasures-not-yet', { policyVersion, effectiveFrom });
      return 0;
    }
    const before = dayAfter(now);
    let asked = 0;
    let failed = 0;
    let cursor: string | undefined;
    do {
      const page = this.register.reviewsDue(before, cursor, PAGE);
      for (const { image } of page.due) {
        if (!this.isDue(image, before)) continue;
        // The date that is listed may be that of a former policy, and somebody may have decided a moment ago.
        await this.upToDate();
        if (signal.aborted) return asked;
        const held = this.register.image(image.imageId);
        if (held === undefined || !this.isDue(held, before)) continue;
        try {
          await this.ask(held, this.reviewDates.of(held));
          asked++;
        } catch (error) {
          // What is wrong with one image must not keep all behind it; when Kafka is away, the next wait for it says so.
          failed++;
          this.log.warn('rule-erasure-not-asked', { sourceOffset: held.sourceOffset, error: describeError(error) });
        }
      }
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    if (asked + failed > 0) {
      this.log.info('rule-erasures-asked', { images: asked, failed, policyVersion: policy.version });
    }
    return asked;
  }

  private isDue(image: HeldImage, before: string): boolean {
    const { deleteByRule, on } = this.reviewDates.of(image);
    return deleteByRule && on < before;
  }

  /**
   * Under a key of its own: asked again before the image is gone, or by the next replica, it is the same erasure. What a
   * hold has made a restriction is asked for anew when no hold is left: nobody else would. What it says of the policy is
   * in the key, too: an authority that is corrected without a new version makes another request, and not the same key
   * with another request, which is refused.
   */
  private async ask(image: HeldImage, { on, because, policyVersion }: ReviewDate): Promise<void> {
    const { imageId, sourceOffset } = image;
    const actor: Actor = { id: 'retention-policy', roles: ['data-protection'] };
    const reason = `Retention policy ${policyVersion}, rule ${because.rule}: due on ${on}, and nobody has decided to keep it.`;
    const authority = this.reviewDates.policy.authority.slice(0, AUTHORITY_LENGTH_MAX);
    const asItIsPut = requestDigest({ reason, authority });
    await this.erase(
      actor,
      { imageIds: [imageId], reason, authority },
      `${imageId}/${sourceOffset}/${policyVersion}/${on}/${asItIsPut}/${this.isHeld(image) ? 'held' : 'free'}`,
    );
  }
}
