/**
 * Says on `gallery.replicas` what this replica holds and how far it has destroyed what was erased: at its start, when its
 * state changes, after each destruction, and every few seconds, so that a silent one is noticed.
 */
import { replicaReportRecord } from '#contracts/replica-report.js';
import { describeError } from '#domain/errors.js';
import type { ModelId, Offset } from '#domain/ids.js';
import type { ReplicaLayout, ReplicaReport, ReplicaState } from '#domain/replica-report.js';
import type { ShardReport } from '#gallery/shard-host.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Log } from '#platform/log.js';
import { INDEX_SOURCE } from './gallery-replica.js';

/** Older than the next report, it would say nothing. */
const PUBLISH_DEADLINE_MS = 5_000;

export interface ReplicaIdentity {
  readonly replicaId: string;
  readonly modelId: ModelId;
  readonly layout: ReplicaLayout;
}

export interface ReportedReplica {
  /** One a worker; none before they are open. */
  reports(): Promise<readonly ShardReport[]>;
  /** The code of what keeps snapshots from being written. */
  readonly snapshotProblem: string | null;
}

export class ReplicaReports {
  private readonly startedAt = new Date().toISOString();
  private state: ReplicaState = 'replaying';
  private workers: readonly ShardReport[] = [];
  private timer: NodeJS.Timeout | undefined;
  private publishing: Promise<void> = Promise.resolve();

  constructor(
    private readonly publisher: Publisher,
    private readonly identity: ReplicaIdentity,
    private readonly replica: ReportedReplica,
    private readonly destroyedThrough: () => ReadonlyMap<number, Offset>,
    private readonly log: Pick<Log, 'warn'>,
  ) {}

  start(intervalMs: number): void {
    this.timer = setInterval(() => this.report(), intervalMs);
    this.report();
  }

  serving(): void {
    this.state = 'serving';
    this.report();
  }

  /** One at a time, in order: each says what is so when its turn comes. */
  report(): void {
    this.publishing = this.publishing.then(() => this.publish());
  }

  /** The last one, of a replica whose workers have ended: what they said last holds for their files. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    this.state = 'stopped';
    this.report();
    await this.publishing;
  }

  private async publish(): Promise<void> {
    try {
      if (this.state !== 'stopped') this.workers = await this.replica.reports();
      const report = this.compose();
      await this.publisher.publish(replicaReportRecord(report, INDEX_SOURCE), PUBLISH_DEADLINE_MS);
    } catch (error) {
      // The next one says more.
      this.log.warn('replica-not-reported', { error: describeError(error) });
    }
  }

  private compose(): ReplicaReport {
    const snapshots = this.workers.map(({ snapshot }) => snapshot);
    const written = snapshots.filter((snapshot) => snapshot !== undefined);
    const isWhole = snapshots.length > 0 && written.length === snapshots.length;
    return {
      ...this.identity,
      state: this.state,
      startedAt: this.startedAt,
      reportedAt: new Date().toISOString(),
      destroyedThrough: Object.fromEntries(this.destroyedThrough()),
      snapshot: isWhole
        ? {
            at: new Date(Math.min(...written.map(({ atMs }) => atMs))).toISOString(),
            templates: written.reduce((sum, { templates }) => sum + templates, 0),
            sizeBytes: written.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
          }
        : null,
      snapshotProblem: this.replica.snapshotProblem,
      partitions: this.workers.flatMap(({ partitions }) => partitions).toSorted((a, b) => a.partition - b.partition),
    };
  }
}
