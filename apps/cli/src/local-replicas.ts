/** The replicas of a local gallery as the query service knows them: who answers, who is on record. */
import { z } from 'zod';
import { FRESH_WITHIN_MS } from '#domain/gather.js';
import { Refusal } from '#domain/errors.js';
import type { LayoutReplica } from './gallery-layout.js';
import type { ServiceClient } from './service-client.js';

/** What is needed here of `GET /v1/galleries`. */
export const galleriesSchema = z.object({
  galleries: z.array(
    z.object({
      modelId: z.string(),
      enrolled: z.number(),
      complete: z.boolean(),
      partitionsMissing: z.array(z.number()),
      partitionsDiffering: z.array(z.number()),
      watermark: z.record(z.string(), z.number()),
      replicas: z.array(
        z.object({
          replicaId: z.string(),
          coverage: z.array(
            z.object({ partition: z.number(), watermark: z.number(), enrolled: z.number(), behindMs: z.number() }),
          ),
        }),
      ),
      replicasOnRecord: z.array(
        z.object({
          replicaId: z.string(),
          layout: z.object({ shards: z.number(), shard: z.number(), workers: z.number().nullable() }),
          state: z.enum(['replaying', 'serving', 'stopped', 'silent', 'unreadable']),
          startedAt: z.string().nullable(),
          reportedAt: z.string(),
          snapshot: z.object({ at: z.string() }).nullable(),
          snapshotProblem: z.string().nullable(),
          destroyedThrough: z.record(z.string(), z.number()),
          partitions: z.array(z.object({ partition: z.number(), watermark: z.number(), enrolled: z.number() })),
        }),
      ),
    }),
  ),
});
export type ListedGallery = z.infer<typeof galleriesSchema>['galleries'][number];

export class LocalReplicas {
  /** When each was seen answering for all of its partitions, by replicaId: the start of the process that did. */
  private readonly seenAnswering = new Map<string, number>();

  constructor(
    private readonly query: ServiceClient,
    /** Of the role that may retire a replica. */
    private readonly dataProtection: ServiceClient,
    private readonly modelId: string,
  ) {}

  /**
   * Those that report that they serve, and that the query service has had a fresh answer from, for all of their share.
   *
   * @returns replicaIds
   * @throws what {@link ServiceClient.call} throws
   */
  async serving(
    running: readonly { readonly replica: LayoutReplica; readonly startedAtMs: number }[],
  ): Promise<ReadonlySet<string>> {
    const gallery = await this.gallery();
    const serving = new Set<string>();
    for (const { replica, startedAtMs } of running) {
      const { replicaId } = replica;
      const report = gallery?.replicasOnRecord.find(
        (one) => one.replicaId === replicaId && one.layout.shards === replica.shards,
      );
      // What an earlier process of this name has said is not about this one.
      const sinceMs = Date.parse(report?.startedAt ?? '');
      if (report?.state !== 'serving' || !(sinceMs >= startedAtMs)) continue;
      // Whoever answers a moment later than the others is not in every list, so that once is enough.
      if (answersForAll(gallery!, replicaId, report.partitions.length)) this.seenAnswering.set(replicaId, sinceMs);
      if (this.seenAnswering.get(replicaId) === sinceMs) serving.add(replicaId);
    }
    return serving;
  }

  /**
   * Takes off the record those that are on it.
   *
   * @throws Refusal REPLICA_STILL_REPORTING; what {@link ServiceClient.call} throws
   */
  async retire(replicaIds: readonly string[], reason: string): Promise<void> {
    const { modelId } = this;
    const onRecord = new Set((await this.gallery())?.replicasOnRecord.map(({ replicaId }) => replicaId));
    for (const replicaId of replicaIds) {
      if (!onRecord.has(replicaId)) continue;
      try {
        await this.dataProtection.call('POST', '/v1/replica-retirements', { replicaId, modelId, reason });
      } catch (error) {
        // Retired by a call whose answer was lost.
        if (!(error instanceof Refusal) || error.code !== 'REPLICA_NOT_ON_RECORD') throw error;
      }
    }
  }

  private async gallery(): Promise<ListedGallery | undefined> {
    const { galleries } = galleriesSchema.parse(await this.query.call('GET', '/v1/galleries'));
    return galleries.find(({ modelId }) => modelId === this.modelId);
  }
}

function answersForAll(gallery: ListedGallery, replicaId: string, partitions: number): boolean {
  const fresh = gallery.replicas
    .filter((answer) => answer.replicaId.startsWith(`${replicaId}/`))
    .flatMap(({ coverage }) => coverage)
    .filter(({ behindMs }) => behindMs <= FRESH_WITHIN_MS);
  return partitions > 0 && new Set(fresh.map(({ partition }) => partition)).size === partitions;
}
