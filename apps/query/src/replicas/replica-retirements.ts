/**
 * Takes replicas off the record that will not come back. While one is on record, no erasure counts as destroyed before
 * that replica says so; to retire it is to assert that its memory has ended and that its snapshots were deleted, which
 * nobody but the person who did it can know. So it is audited like an erasure, before it takes effect.
 */
import type { AuditLog } from '#audit/audit-log.js';
import { replicaRetirement } from '#contracts/replica-report.js';
import type { ReplicaRetirementRequest } from '#contracts/replica-retirement-form.js';
import { Refusal } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { ReplicasOnRecord } from './replicas-on-record.js';

export interface RetiredReplicas {
  readonly retired: readonly { readonly modelId: string; readonly replicaId: string }[];
  /** ISO 8601. */
  readonly at: string;
}

export class ReplicaRetirements {
  constructor(
    private readonly replicas: Pick<ReplicasOnRecord, 'named' | 'isReporting'>,
    private readonly audit: AuditLog,
  ) {}

  /**
   * @throws Refusal REPLICA_NOT_ON_RECORD, REPLICA_STILL_REPORTING; Failure AUDIT_UNAVAILABLE, and nothing is retired
   */
  async retire(actor: Actor, request: ReplicaRetirementRequest): Promise<RetiredReplicas> {
    const named = this.replicas
      .named(request.replicaId)
      .filter(({ modelId }) => request.modelId === undefined || request.modelId === modelId);
    if (named.length === 0) {
      throw new Refusal('REPLICA_NOT_ON_RECORD', `No replica ${request.replicaId} is on record; it may be retired.`);
    }
    const reporting = named.find(({ known }) => this.replicas.isReporting(known));
    if (reporting !== undefined) {
      throw new Refusal(
        'REPLICA_STILL_REPORTING',
        `The replica ${request.replicaId} was heard of a moment ago: stop it, and delete its snapshots, first.`,
        { heardAt: new Date(reporting.known.heardAtMs).toISOString() },
      );
    }
    await this.audit.append(
      named.map(({ known, modelId, replicaId }) => ({
        operation: 'erasure',
        action: 'replica-retired',
        actor: actor.id,
        role: 'data-protection',
        purpose: 'destruction of a replica of the gallery',
        justification: request.reason,
        modelId,
        detail: { replicaId, heardAt: new Date(known.heardAtMs).toISOString() },
      })),
      named.map(({ known }) => replicaRetirement(known.key, QUERY_SOURCE)),
    );
    return {
      retired: named.map(({ modelId, replicaId }) => ({ modelId, replicaId })),
      at: new Date().toISOString(),
    };
  }
}
