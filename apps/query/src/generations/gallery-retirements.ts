/**
 * Ends a gallery that is no longer wanted, in two steps by two offices. Retiring it is a decision: nobody can switch to
 * it any more, and its processes can be stopped. Destroying it deletes its log, and is for when nothing is left that
 * reads or holds it; from then on no erasure waits for it.
 */
import type { AuditLog } from '#audit/audit-log.js';
import { gapClosed } from '#contracts/gap-record.js';
import { deadLetters, galleryTemplates, generationGroup } from '#contracts/topics.js';
import { Failure, Refusal } from '#domain/errors.js';
import type { GovernanceDecision } from '#domain/governance.js';
import type { Actor } from '#domain/identity.js';
import type { ModelId } from '#domain/ids.js';
import type { GapFollower } from '#kafka/gap-follower.js';
import type { Publisher } from '#kafka/publisher.js';
import type { KnownReplica } from '#kafka/replica-follower.js';
import type { TopicAdmin } from '#kafka/topic-admin.js';
import { idempotentId } from '#platform/idempotency.js';
import type { GovernanceLog } from '../governance/governance-log.js';
import { QUERY_SOURCE } from '../query-source.js';
import { toGo } from './generation-progress.js';
import type { Generations } from './generations.js';

export interface GalleryRetirement {
  readonly modelId: ModelId;
  readonly state: 'RETIRED' | 'DESTROYED';
  /** ISO 8601, of the step that it is in. */
  readonly at: string;
  readonly by: string;
}

export interface GalleryRetirementState extends GalleryRetirement {
  /** On record still, by name. */
  readonly replicas: readonly string[];
  /** Of its log, not yet followed by the gallery in force; 0 when that has never followed it. */
  readonly recordsToGo: number;
}

const ROUTE = 'POST /v1/gallery-retirements';

export class GalleryRetirements {
  constructor(
    private readonly generations: Pick<Generations, 'modelInForce' | 'of'>,
    private readonly governance: Pick<GovernanceLog, 'state' | 'take' | 'upToDate'>,
    private readonly topics: Pick<TopicAdmin, 'generations' | 'deleteTopics' | 'topicOffsets' | 'groupOffsets'>,
    private readonly replicas: { all(): readonly KnownReplica[] },
    private readonly gaps: Pick<GapFollower, 'of'>,
    private readonly publisher: Pick<Publisher, 'publishAll'>,
    private readonly audit: Pick<AuditLog, 'append'>,
  ) {}

  /**
   * @throws Refusal GALLERY_NOT_FOUND, GALLERY_IN_FORCE, GALLERY_LACKS_IMAGES, GALLERY_RETIRED_BEFORE; Failure
   *   AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE, GOVERNANCE_BEHIND
   */
  async retire(
    actor: Actor,
    { modelId, reason }: { readonly modelId: ModelId; readonly reason: string },
    key: string | undefined,
  ): Promise<GalleryRetirement> {
    await this.expectThere(modelId);
    await this.governance.upToDate();
    const inForce = this.generations.modelInForce;
    const lacking = this.gaps.of(inForce).size;
    if (modelId !== inForce && lacking > 0) {
      throw new Refusal(
        'GALLERY_LACKS_IMAGES',
        `The gallery in force lacks ${lacking} images that are in this one: nobody would know any more that they are held. Erase them, or have them sent anew, first.`,
        { lacking },
      );
    }
    const decision: GovernanceDecision = {
      type: 'GALLERY_RETIRED',
      decisionId: idempotentId(actor.id, ROUTE, key),
      by: actor.id,
      role: 'threshold-approver',
      reason,
      modelId,
      inForce,
    };
    await this.governance.take(decision);
    const said = this.governance.state.retired.get(modelId)!;
    return { modelId, state: 'RETIRED', at: said.at, by: said.by };
  }

  /**
   * Whether it is to be destroyed, and what is in the way.
   *
   * @throws Refusal GALLERY_NOT_RETIRED; Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED
   */
  async state(modelId: ModelId): Promise<GalleryRetirementState> {
    const said = this.governance.state.retired.get(modelId);
    if (said === undefined) throw notRetired(modelId);
    const replicas = this.replicasOf(modelId).map((key) => key.split('/').slice(2).join('/'));
    return {
      modelId,
      state: 'RETIRED',
      at: said.at,
      by: said.by,
      replicas,
      recordsToGo: await this.recordsToGo(modelId),
    };
  }

  /**
   * Deletes what is left of a retired gallery: its log, its dead letters, what it lacked. Can be asked for again when it
   * was cut short.
   *
   * @throws Refusal GALLERY_NOT_RETIRED, GALLERY_STILL_HELD; Failure GALLERY_BEHIND, AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE,
   *   TOPIC_CHANGE_FAILED, GOVERNANCE_BEHIND
   */
  async destroy(actor: Actor, modelId: ModelId, reason: string, key: string | undefined): Promise<GalleryRetirement> {
    await this.governance.upToDate();
    const decisionId = idempotentId(actor.id, `${ROUTE}/${modelId}/destruction`, key);
    const destroyed = (at: string): GalleryRetirement => ({ modelId, state: 'DESTROYED', at, by: actor.id });
    if (this.governance.state.accepted.has(decisionId)) return destroyed(new Date().toISOString());
    if (!this.governance.state.retired.has(modelId)) throw notRetired(modelId);
    this.expectUnheld(modelId);
    const recordsToGo = await this.recordsToGo(modelId);
    if (recordsToGo > 0) {
      const text = `The gallery in force has not followed ${recordsToGo} records of it: what was enrolled last is in it alone.`;
      throw new Failure('GALLERY_BEHIND', text, true);
    }
    await this.audit.append([
      {
        operation: 'erasure',
        action: 'destroy-gallery',
        actor: actor.id,
        role: 'data-protection',
        purpose: 'model change',
        justification: reason,
        modelId,
      },
    ]);
    const templates = galleryTemplates(modelId);
    await this.topics.deleteTopics([templates, deadLetters(templates)], generationGroup(modelId));
    const gaps = [...this.gaps.of(modelId).keys()];
    await this.publisher.publishAll(gaps.map((id) => gapClosed(modelId, id, QUERY_SOURCE)));
    const by = actor.id;
    await this.governance.take({
      type: 'GALLERY_DESTROYED',
      decisionId,
      by,
      role: 'data-protection',
      reason,
      modelId,
    });
    return destroyed(new Date().toISOString());
  }

  private async expectThere(modelId: ModelId): Promise<void> {
    if ((await this.topics.generations()).includes(modelId)) return;
    throw new Refusal('GALLERY_NOT_FOUND', `No gallery of model ${modelId} is built here.`, { modelId });
  }

  /** Whoever holds it would go on from nothing, or fill the log again. */
  private expectUnheld(modelId: ModelId): void {
    if (this.generations.of(modelId) !== undefined) {
      throw new Refusal(
        'GALLERY_STILL_HELD',
        `This service still has model ${modelId}: take its pack away, or make it the deployment's no longer, first.`,
      );
    }
    const replicas = this.replicasOf(modelId);
    if (replicas.length === 0) return;
    throw new Refusal(
      'GALLERY_STILL_HELD',
      `${replicas.length} replicas of it are on record: stop them, delete their snapshots and retire them first.`,
      { replicas },
    );
  }
  private async recordsToGo(modelId: ModelId): Promise<number> {
    if (!(await this.topics.generations()).includes(modelId)) return 0;
    const templates = galleryTemplates(modelId);
    const followed = await this.topics.groupOffsets(generationGroup(this.generations.modelInForce), templates);
    return followed.size === 0 ? 0 : toGo(await this.topics.topicOffsets(templates), followed);
  }

  /** Keys on `gallery.replicas`. */
  private replicasOf(modelId: ModelId): readonly string[] {
    return this.replicas.all().flatMap(({ key }) => (key.startsWith(`${modelId}/`) ? [key] : []));
  }
}

function notRetired(modelId: ModelId): Refusal {
  return new Refusal('GALLERY_NOT_RETIRED', `The gallery of model ${modelId} is not retired.`);
}
