/**
 * Switches to the gallery of another model, and back. Whoever switches is told first what would be worse afterwards: a
 * gallery that is not whole, images that it lacks, scores that no threshold judges. The switch itself is one decision in
 * the log; every search that is accepted after a replica has read it is of the other model.
 */
import { galleryTemplates } from '#contracts/topics.js';
import { Failure, Refusal } from '#domain/errors.js';
import { SEARCH_KINDS, type GovernanceDecision } from '#domain/governance.js';
import type { Actor } from '#domain/identity.js';
import type { ModelId } from '#domain/ids.js';
import { pause } from '#kafka/backoff.js';
import type { TopicAdmin } from '#kafka/topic-admin.js';
import { idempotentId } from '#platform/idempotency.js';
import type { GovernanceLog } from '../governance/governance-log.js';
import type { GalleryAnswer } from '../searches/gallery-client.js';
import type { GenerationProgresses } from './generation-progress.js';
import type { Generation, Generations } from './generations.js';

export interface ShownGallerySwitch {
  readonly inForce: ModelId;
  readonly from: ModelId;
  /** ISO 8601. */
  readonly since: string;
  readonly by: string;
  readonly reason: string;
  /** Images that the gallery in force lacked when it was switched to. */
  readonly lacking: number;
}

export interface GallerySwitchRequest {
  readonly to: ModelId;
  readonly reason: string;
  readonly acceptMissing: number;
}

type SwitchDecision = GovernanceDecision & { readonly type: 'GALLERY_SWITCHED' };

const ROUTE = 'POST /v1/gallery-switches';
const COVERAGE_DEADLINE_MS = 2_000;
/** What is enrolled while somebody asks is in the other gallery a second or two later. */
const PATIENCE = { catchUpMs: 10_000, pollMs: 250 };

export class GallerySwitches {
  constructor(
    private readonly generations: Pick<Generations, 'inForce' | 'of' | 'base'>,
    private readonly governance: Pick<GovernanceLog, 'state' | 'take' | 'upToDate'>,
    private readonly progresses: Pick<GenerationProgresses, 'of' | 'ends' | 'recordsToGo'>,
    private readonly topics: Pick<TopicAdmin, 'topicOffsets'>,
    private readonly patience: typeof PATIENCE = PATIENCE,
  ) {}

  /**
   * Resolves when this replica searches the other gallery; the others read the same log.
   *
   * @throws Refusal GALLERY_NOT_FOUND, GALLERY_IN_FORCE, GALLERY_LACKS_IMAGES, GALLERY_SWITCHED_MEANWHILE,
   *   GALLERY_RETIRED_BEFORE, MODEL_NOT_APPROVED, IDEMPOTENCY_KEY_REUSED; Failure GALLERY_BEHIND, THRESHOLD_MISSING,
   *   MODEL_NOT_LOADED, AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE, GOVERNANCE_BEHIND
   */
  async switch(actor: Actor, request: GallerySwitchRequest, key: string | undefined): Promise<ShownGallerySwitch> {
    const decisionId = idempotentId(actor.id, ROUTE, key);
    await this.governance.upToDate();
    if (this.repeats(decisionId, request)) return this.shown();
    const { to, reason } = request;
    const next = this.generations.of(to);
    if (next === undefined) {
      throw new Refusal('GALLERY_NOT_FOUND', `No gallery of model ${to} is built here.`, { modelId: to });
    }
    const now = this.generations.inForce;
    if (next === now) throw new Refusal('GALLERY_IN_FORCE', `The gallery of model ${to} is in force.`);
    const lacking = await this.lacking(now, next, request.acceptMissing);
    const decision: SwitchDecision = {
      type: 'GALLERY_SWITCHED',
      decisionId,
      by: actor.id,
      role: 'threshold-approver',
      reason,
      from: now.modelId,
      to,
      lacking,
    };
    await this.governance.take(decision);
    return this.shown();
  }

  /** How many images the other gallery lacks; nothing else may be amiss with it. */
  private async lacking(now: Generation, next: Generation, acceptMissing: number): Promise<number> {
    const before = await now.gallery.coverage(COVERAGE_DEADLINE_MS);
    const found = await this.caughtUp(next);
    for (const kind of SEARCH_KINDS) next.permits.requireUsable(kind, found.enrolled);
    const { lacking: gaps, lackingByCode } = await this.progresses.of(next.modelId);
    // Also what is missing for a reason that nobody has said. What the one in force knows and cannot search counts too:
    // the other one would say that it is complete.
    const known = before.enrolled + before.unusable;
    const lacking = Math.max(gaps, known - found.enrolled - found.unusable, 0);
    if (lacking <= acceptMissing) return lacking;
    throw new Refusal(
      'GALLERY_LACKS_IMAGES',
      `The gallery of model ${next.modelId} lacks ${lacking} images that are in the one in force: who is on them would not be found. To switch all the same, accept that many.`,
      { lacking, lackingByCode },
    );
  }

  /** Everything that was enrolled before the question is in it, and answered for. */
  private async caughtUp(next: Generation): Promise<GalleryAnswer> {
    const ends = await this.progresses.ends();
    const deadlineMs = Date.now() + this.patience.catchUpMs;
    for (;;) {
      const recordsToGo = await this.progresses.recordsToGo(next.modelId, ends);
      const found = recordsToGo === 0 ? await this.wholeCoverage(next) : undefined;
      if (found !== undefined) return found;
      if (Date.now() > deadlineMs) {
        throw new Failure(
          'GALLERY_BEHIND',
          recordsToGo > 0
            ? `The gallery of model ${next.modelId} is still being built: ${recordsToGo} records to go.`
            : `The gallery of model ${next.modelId} does not answer as a whole: its index processes are missing or behind, or images of it cannot be searched.`,
          true,
        );
      }
      await pause(this.patience.pollMs);
    }
  }

  private async wholeCoverage(next: Generation): Promise<GalleryAnswer | undefined> {
    const ends = await this.topics.topicOffsets(galleryTemplates(next.modelId));
    const found = await next.gallery.coverage(COVERAGE_DEADLINE_MS);
    const isWhole = found.missing.length === 0 && found.incomplete.length === 0;
    const isRead = [...ends].every(([partition, { high }]) => (found.watermark.get(partition) ?? 0) >= high);
    return isWhole && isRead ? found : undefined;
  }

  /** @throws Refusal IDEMPOTENCY_KEY_REUSED */
  private repeats(decisionId: string, { to, reason }: GallerySwitchRequest): boolean {
    const first = this.governance.state.accepted.get(decisionId);
    if (first === undefined) return false;
    if (first.type === 'GALLERY_SWITCHED' && first.to === to && first.reason === reason) return true;
    throw new Refusal('IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key was used before, for another request.');
  }

  private shown(): ShownGallerySwitch {
    const { modelId, from, lacking, switched } = this.governance.state.gallery!;
    return { inForce: modelId, from, since: switched.at, by: switched.by, reason: switched.reason, lacking };
  }
}
