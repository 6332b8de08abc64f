/** What approvers and data-protection staff decide about searching as such, each with who, why and on which authority. */
import {
  SEARCH_KINDS,
  type GovernanceDecision,
  type ModelOverride,
  type Said,
  type Suspension,
  type ThresholdVersion,
} from '#domain/governance.js';
import { hasRole, type Actor, type Role } from '#domain/identity.js';
import type { ModelId } from '#domain/ids.js';
import type { SearchKind } from '#domain/search-answer.js';
import type { ThresholdContents } from '#domain/threshold.js';
import { idempotentId } from '#platform/idempotency.js';
import type { GovernanceLog } from './governance-log.js';

/** Any of them may suspend, and lift with another: stopping must never wait for one office. */
export const SUSPENDERS: readonly Role[] = ['threshold-approver', 'data-protection'];

export interface ShownSuspension extends Omit<Suspension, 'since' | 'by' | 'reason' | 'authority'> {
  readonly suspended: boolean;
  readonly since: string | null;
  readonly by: string | null;
  readonly reason: string | null;
  readonly authority: string | null;
}

export interface ShownThresholds {
  readonly versionInForce: number | null;
  /** Newest first. */
  readonly versions: readonly ThresholdVersion[];
}

interface Words {
  readonly reason: string;
  readonly authority: string;
}

type Unsigned<D> = D extends unknown ? Omit<D, 'decisionId' | 'by' | 'role'> : never;

export class GovernanceDecisions {
  constructor(private readonly log: GovernanceLog) {}

  suspensions(): readonly ShownSuspension[] {
    return SEARCH_KINDS.map((kind) => this.suspension(kind));
  }

  /** Resolves when this replica refuses such searches; the others read the same log. */
  async suspend(actor: Actor, kind: SearchKind, words: Words, key: string | undefined): Promise<ShownSuspension> {
    await this.take(actor, SUSPENDERS, `PUT /v1/suspensions/${kind}`, key, {
      type: 'SEARCH_SUSPENDED',
      kind,
      ...words,
    });
    return this.suspension(kind);
  }

  /** The first person's wish is noted; the second one's lifts. @throws Refusal NOT_SUSPENDED, APPROVER_NOT_DISTINCT */
  async lift(actor: Actor, kind: SearchKind, words: Words, key: string | undefined): Promise<ShownSuspension> {
    await this.take(actor, SUSPENDERS, `DELETE /v1/suspensions/${kind}`, key, {
      type: 'SUSPENSION_LIFTED',
      kind,
      ...words,
    });
    return this.suspension(kind);
  }

  thresholds(): ShownThresholds {
    const versions = [...this.log.state.thresholds.values()].reverse();
    return { versionInForce: versions.find(({ state }) => state === 'in-force')?.version ?? null, versions };
  }

  /** @throws Refusal THRESHOLDS_INVALID */
  async proposeThresholds(
    actor: Actor,
    { reason, thresholds }: { readonly reason: string; readonly thresholds: ThresholdContents },
    key: string | undefined,
  ): Promise<ThresholdVersion> {
    const id = await this.take(actor, ['threshold-approver'], 'POST /v1/thresholds', key, {
      type: 'THRESHOLDS_PROPOSED',
      reason,
      thresholds,
    });
    return [...this.log.state.thresholds.values()].find(({ decisionId }) => decisionId === id)!;
  }

  /** @throws Refusal THRESHOLDS_NOT_FOUND, THRESHOLDS_NOT_PROPOSED, APPROVER_NOT_DISTINCT */
  async approveThresholds(
    actor: Actor,
    version: number,
    reason: string,
    key: string | undefined,
  ): Promise<ThresholdVersion> {
    await this.take(actor, ['threshold-approver'], `POST /v1/thresholds/${version}/approval`, key, {
      type: 'THRESHOLDS_APPROVED',
      version,
      reason,
    });
    return this.log.state.thresholds.get(version)!;
  }

  /** Newest first. */
  overrides(): readonly ModelOverride[] {
    return [...this.log.state.overrides.values()].reverse();
  }

  async proposeOverride(
    actor: Actor,
    words: Words & { readonly modelId: ModelId },
    key: string | undefined,
  ): Promise<ModelOverride> {
    const id = await this.take(actor, ['threshold-approver'], 'POST /v1/model-overrides', key, {
      type: 'OVERRIDE_PROPOSED',
      ...words,
    });
    return this.override(id);
  }

  /** @throws Refusal OVERRIDE_NOT_FOUND, OVERRIDE_NOT_PROPOSED, APPROVER_NOT_DISTINCT */
  async approveOverride(actor: Actor, id: string, reason: string, key: string | undefined): Promise<ModelOverride> {
    await this.take(actor, ['threshold-approver'], `POST /v1/model-overrides/${id}/approval`, key, {
      type: 'OVERRIDE_APPROVED',
      overrideId: id,
      reason,
    });
    return this.override(id);
  }

  /** @throws Refusal OVERRIDE_NOT_FOUND, OVERRIDE_ENDED_BEFORE */
  async endOverride(actor: Actor, id: string, reason: string, key: string | undefined): Promise<ModelOverride> {
    await this.take(actor, ['threshold-approver'], `DELETE /v1/model-overrides/${id}`, key, {
      type: 'OVERRIDE_ENDED',
      overrideId: id,
      reason,
    });
    return this.override(id);
  }

  /** Who switched to the gallery in force; null while nobody has. */
  gallerySwitched(): (Said & { readonly from: ModelId; readonly lacking: number }) | null {
    const { gallery } = this.log.state;
    return gallery === null ? null : { ...gallery.switched, from: gallery.from, lacking: gallery.lacking };
  }

  private suspension(kind: SearchKind): ShownSuspension {
    const suspension = this.log.state.suspensions.get(kind);
    if (suspension !== undefined) return { suspended: true, ...suspension };
    return { kind, suspended: false, since: null, by: null, reason: null, authority: null, lifting: null };
  }

  private override(id: string): ModelOverride {
    return this.log.state.overrides.get(id)!;
  }

  /** @returns the decision's id: the same for the same request under the same Idempotency-Key */
  private async take(
    actor: Actor,
    roles: readonly Role[],
    route: string,
    key: string | undefined,
    what: Unsigned<GovernanceDecision>,
  ): Promise<string> {
    const decisionId = idempotentId(actor.id, route, key);
    const role = roles.find((known) => hasRole(actor, [known]))!;
    const decision = { ...what, decisionId, by: actor.id, role } as GovernanceDecision;
    await this.log.take(decision);
    return decisionId;
  }
}
