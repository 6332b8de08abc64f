/**
 * One replica of a shard: follows its template partitions, keeps the vectors in worker threads, and puts the log right
 * where a late or unusable record has overwritten a good one.
 *
 * Order at start: dispositions whole, newest good snapshot, the log from the snapshot's offsets to its end; then ready.
 */
import {
  encodeTemplate,
  standsForUnusable,
  templateHeaders,
  templateTombstoneHeaders,
  templateUnusableHeaders,
} from '#contracts/template-record.js';
import { AWAY_MS_MAX, galleryTemplates } from '#contracts/topics.js';
import { CodedError, describeError, Failure } from '#domain/errors.js';
import type { GalleryFilter, PartitionCoverage, SearchMode } from '#domain/gallery.js';
import type { ModelId, Offset } from '#domain/ids.js';
import type { ApplyResult, TemplateChange } from '#gallery/template-change.js';
import {
  ShardHost,
  type ShardReport,
  type ShardStats,
  type ShardWorkerOptions,
  type WorkerAnswer,
} from '#gallery/shard-host.js';
import { pause } from '#kafka/backoff.js';
import { deadLetterFor } from '#kafka/dead-letters.js';
import type { DispositionChange } from '#kafka/disposition-follower.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { LogBatch, LogReader } from '#kafka/log-reader.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Log } from '#platform/log.js';
import type { IndexMetrics } from '#platform/metrics.js';
import { addSpansOfRecords } from '#platform/spans.js';
import { OwedRepairs, type Repairs } from './owed-repairs.js';
import { templateChangeOf } from './template-changes.js';

export const INDEX_SOURCE = '/custody-face-search/index';

interface Worker {
  readonly host: ShardHost;
  readonly partitions: readonly number[];
  readonly owed: OwedRepairs;
  reader: LogReader | undefined;
}

export interface ReplicaAnswer extends WorkerAnswer {
  readonly coverage: readonly PartitionCoverage[];
}

export class GalleryReplica {
  private readonly workers: Worker[] = [];
  private readonly snapshotProblems = new Map<number, string>();
  private readonly topic: string;
  private readonly recallSamples = new Map<string, number>();
  private live = false;
  private closing = false;

  constructor(
    private readonly kafka: KafkaClient,
    private readonly publisher: Publisher,
    private readonly options: {
      readonly modelId: ModelId;
      readonly dimension: number;
      readonly shard: number;
      /** A template was read that is erased. */
      readonly onErasedRead?: () => void;
    },
    private readonly metrics: IndexMetrics,
    private readonly log: Log,
    private readonly onFatal: (error: unknown) => void,
  ) {
    this.topic = galleryTemplates(options.modelId);
  }

  /** Opens the workers with what their snapshots hold. */
  async openWorkers(workers: readonly ShardWorkerOptions[]): Promise<void> {
    for (const options of workers) {
      const host = await ShardHost.start(options);
      host.onExit((error) => this.onFatal(error));
      for (const notice of host.restored.notices) this.log.warn('snapshot-notice', { notice });
      this.log.info('snapshot-restored', { worker: options.layout.worker, templates: host.restored.templates });
      this.workers.push({ host, partitions: options.partitions, owed: new OwedRepairs(), reader: undefined });
    }
  }

  /** Dispositions act at once, before, during and after the replay. */
  async applyDispositions(changes: readonly DispositionChange[]): Promise<void> {
    await Promise.all(this.workers.map(({ host }) => host.setDispositions([...changes])));
  }

  /**
   * Resolves when everything that was in the log at the start is searchable.
   *
   * @throws Failure READER_STOPPED, SHARD_CLOSED when the replica is closed before
   */
  async followLog(): Promise<void> {
    for (const worker of this.workers) {
      const reader = await this.openReader(worker);
      if (this.closing) throw new Failure('SHARD_CLOSED', 'The shard is shutting down.', true);
      worker.reader = reader;
      await reader.start();
    }
    await Promise.all(this.workers.map((worker) => worker.reader!.caughtUp()));
    this.live = true;
  }

  private async openReader(worker: Worker): Promise<LogReader> {
    const ends = await this.kafka.topicAdmin().topicOffsets(this.topic);
    const outside = [...worker.host.restored.nextOffsets].find(([partition, next]) => {
      const end = ends.get(partition);
      return end === undefined || next < end.low || next > end.high;
    });
    const { nextOffsets, writtenAtMs = Infinity } = worker.host.restored;
    const behind = [...nextOffsets].find(([partition, next]) => next < ends.get(partition)!.high);
    const isTooOld = behind !== undefined && Date.now() - writtenAtMs > AWAY_MS_MAX;
    let from: ReadonlyMap<number, Offset> = nextOffsets;
    if (outside !== undefined || isTooOld) {
      // Another log, or one that has forgotten more than the snapshot knows: it would be wrong in ways nobody sees.
      const [partition, nextOffset] = outside ?? behind!;
      const code = outside === undefined ? 'SNAPSHOT_TOO_OLD' : 'SNAPSHOT_OUTSIDE_LOG';
      this.log.warn('snapshot-discarded', { partition, nextOffset, code });
      await worker.host.discardState(code);
      from = new Map();
    }
    return this.kafka.logReader({
      topic: this.topic,
      partitions: worker.partitions,
      from,
      lingerMs: TEMPLATES_LINGER_MS,
      maxWaitMs: TEMPLATES_WAIT_MS_MAX,
      onBatch: (batch) => this.apply(worker, batch),
      onFatal: this.onFatal,
    });
  }

  private async apply(worker: Worker, batch: LogBatch): Promise<void> {
    const { modelId, dimension } = this.options;
    const startedMs = Date.now();
    const changes = batch.records.map((record) => templateChangeOf(record, modelId, dimension));
    const result = await worker.host.apply(changes, [{ partition: batch.partition, nextOffset: batch.nextOffset }]);
    if (this.live) {
      this.observeFreshness(changes);
      addSpansOfRecords(batch.records, startedMs);
    }
    await this.reportUnusable(result, batch.records);
    if (result.resurrections.length > 0) this.options.onErasedRead?.();
    worker.owed.note(batch.partition, batch.records, result);
    if (batch.nextOffset >= batch.highWatermark) {
      await this.putRight(worker, worker.owed.due(batch.partition));
      worker.owed.settle(batch.partition);
    }
    // The shard has its copy. These would be there until the collector comes by.
    for (const { value } of batch.records) value?.fill(0);
    for (const change of changes) if (change.kind === 'template') change.vector.fill(0);
  }

  private observeFreshness(changes: readonly TemplateChange[]): void {
    const nowMs = Date.now();
    for (const change of changes) {
      if (change.kind !== 'template') continue;
      this.metrics.enrolToSearchableSeconds.observe(Math.max(0, nowMs - change.source.acceptedAtMs) / 1000);
    }
  }

  private async reportUnusable(result: ApplyResult, records: readonly KafkaRecord[]): Promise<void> {
    for (const bad of result.unusable) {
      const record = records.find((candidate) => candidate.offset === bad.offset);
      if (record !== undefined && standsForUnusable(record.headers) !== undefined) continue;
      this.metrics.galleryUnusableRecordsTotal.inc();
      this.log.error('template-unusable', { partition: bad.partition, offset: bad.offset, reason: bad.reason });
      if (record !== undefined) {
        await this.publisher.publish(
          deadLetterFor(record, { code: 'TEMPLATE_UNUSABLE', detail: bad.reason, attempts: 1 }, INDEX_SOURCE),
        );
      }
    }
  }

  /** The log keeps a key's last record: where a late or unusable one came last, the right one is written again. */
  private async putRight(worker: Worker, due: Repairs): Promise<void> {
    for (const { imageId, ...unusable } of due.unusableOverwrites) {
      this.metrics.galleryRepairsTotal.inc({ kind: 'unusable' });
      this.log.warn('unusable-template-overwritten', { action: 'put back that the image is missing' });
      await this.publisher.publish({
        topic: this.topic,
        key: imageId,
        value: Buffer.alloc(0),
        headers: templateUnusableHeaders(imageId, unusable, INDEX_SOURCE),
      });
    }
    for (const imageId of due.resurrections) {
      this.metrics.galleryRepairsTotal.inc({ kind: 'tombstone' });
      this.log.warn('template-of-erased-image', { action: 'tombstone put back' });
      await this.publisher.publish({
        topic: this.topic,
        key: imageId,
        value: null,
        headers: templateTombstoneHeaders(imageId, INDEX_SOURCE),
      });
    }
    if (due.staleOverwrites.length === 0) return;
    for (const held of await worker.host.republishable(due.staleOverwrites)) {
      this.metrics.galleryRepairsTotal.inc({ kind: 'template' });
      this.log.warn('template-overwritten', { action: 'the one that is held put back' });
      await this.publisher.publish({
        topic: this.topic,
        key: held.imageId,
        value: encodeTemplate(held.vector),
        headers: templateHeaders({ modelId: this.options.modelId, ...held }, INDEX_SOURCE),
      });
    }
  }

  /** One answer a worker, each with the partitions that it covers. */
  search(query: {
    readonly probe: Float32Array | undefined;
    readonly k: number;
    readonly mode: SearchMode;
    readonly filter: GalleryFilter | undefined;
    readonly deadlineMs?: number;
  }): Promise<ReplicaAnswer>[] {
    return this.workers.map(async (worker) => {
      const answer = await worker.host.search(query);
      return { ...answer, coverage: this.withAge(worker, answer) };
    });
  }

  private withAge(worker: Worker, answer: WorkerAnswer): readonly PartitionCoverage[] {
    const nowMs = Date.now();
    return answer.coverage.map((part) => {
      const { highWatermark, answeredAtMs, behindSinceMs } = worker.reader!.progress(part.partition);
      // The broker has been silent, or records wait: either way this replica may not know what others do. The search
      // may be older than what the reader says, so its own watermark decides.
      const sinceMs = part.watermark < highWatermark ? (behindSinceMs ?? answeredAtMs) : nowMs;
      const silentMs = nowMs - answeredAtMs;
      return { ...part, behindMs: Math.max(0, nowMs - sinceMs, silentMs > BROKER_SILENT_MS ? silentMs : 0) };
    });
  }

  /** What each worker says of its part; none before they are open. */
  reports(): Promise<readonly ShardReport[]> {
    return Promise.all(this.workers.map(({ host }) => host.report()));
  }

  /** How far what was erased is destroyed, by the slowest worker. */
  async destruction(): Promise<ShardReport['destruction']> {
    const all = (await this.reports()).map(({ destruction }) => destruction);
    return all.find((one) => one === 'needs-snapshot') ?? all.find((one) => one === 'under-way') ?? 'done';
  }

  /**
   * Replaces the files that may hold what is erased. A worker that is at it counts too: what it is writing may fail, or
   * have been begun before an erasure that is acknowledged by now.
   *
   * @returns whether all were written
   */
  async replaceFiles(): Promise<boolean> {
    const reports = await this.reports();
    const isToReplace = (worker: number): boolean => reports[worker]?.destruction !== 'done';
    return this.snapshot('erasure', isToReplace);
  }

  /** The code of what keeps snapshots from being written. */
  get snapshotProblem(): string | null {
    return [...this.snapshotProblems.values()][0] ?? null;
  }

  /** @returns whether every wanted worker's state is on disk now; what failed is logged and counted */
  async snapshot(reason: string, isWanted: (worker: number) => boolean = () => true): Promise<boolean> {
    let written = true;
    for (const [index, { host, reader, owed }] of this.workers.entries()) {
      if (!isWanted(index)) continue;
      const shard = `${this.options.shard}.${index}`;
      try {
        // Not past a record whose repair or dead letter is still to be published: only the log remembers those.
        const handled = reader && owed.handledTo(reader.nextOffsets());
        const report = await host.snapshot(handled, reason === 'shutdown' ? 'worthwhile' : 'always');
        this.setSnapshotProblem(index, undefined);
        if ('skipped' in report) {
          this.log[report.skipped === 'unchanged' ? 'debug' : 'info']('snapshot-skipped', { shard, reason, ...report });
          continue;
        }
        this.metrics.snapshotDurationSeconds.observe({ shard }, report.durationMs / 1000);
        this.log.info('snapshot-written', { shard, reason, ...report });
      } catch (error) {
        // The log still has everything; what is lost is time at the next start.
        const code = error instanceof CodedError ? error.code : 'SNAPSHOT_NOT_WRITTEN';
        this.metrics.snapshotFailuresTotal.inc({ shard, reason: code });
        this.setSnapshotProblem(index, code);
        this.log.error('snapshot-failed', { shard, error: describeError(error) });
        written = false;
      }
    }
    return written;
  }

  /** @param code undefined when there is none any more */
  private setSnapshotProblem(worker: number, code: string | undefined): void {
    const shard = `${this.options.shard}.${worker}`;
    const before = this.snapshotProblems.get(worker);
    if (before !== undefined) this.metrics.snapshotProblem.set({ shard, code: before }, 0);
    if (code === undefined) this.snapshotProblems.delete(worker);
    else this.snapshotProblems.set(worker, code);
    if (code !== undefined) this.metrics.snapshotProblem.set({ shard, code }, 1);
  }

  async reportGauges(): Promise<void> {
    let lag = 0;
    for (const [index, { host, reader }] of this.workers.entries()) {
      const shard = `${this.options.shard}.${index}`;
      const stats = await host.stats();
      this.metrics.galleryTemplates.set({ shard, state: 'searchable' }, stats.templates - stats.suppressed);
      this.metrics.galleryTemplates.set({ shard, state: 'suppressed' }, stats.suppressed);
      this.metrics.galleryTemplates.set({ shard, state: 'tombstone' }, stats.tombstones);
      this.metrics.galleryUnusableImages.set({ shard }, stats.unusable);
      const nodes = stats.tombstones + stats.approximateSize;
      this.metrics.galleryTombstoneRatio.set({ shard }, nodes === 0 ? 0 : stats.tombstones / nodes);
      this.metrics.galleryPendingTemplates.set({ shard }, stats.approximatePending);
      this.reportRecall(shard, stats.recall);
      if (stats.snapshotAtMs !== undefined) {
        this.metrics.snapshotAgeSeconds.set({ shard }, (Date.now() - stats.snapshotAtMs) / 1000);
      }
      for (const records of reader?.lagRecords().values() ?? []) lag += records;
    }
    this.metrics.consumerLagRecords.set({ topic: this.topic }, lag);
  }

  /** Nothing is said of a recall that nobody measured: searches may all have been exact. */
  private reportRecall(shard: string, { samples, recallRatio, mateTop1Ratio }: ShardStats['recall']): void {
    this.metrics.galleryRecallSamplesTotal.inc({ shard }, samples - (this.recallSamples.get(shard) ?? 0));
    this.recallSamples.set(shard, samples);
    if (recallRatio !== undefined) this.metrics.galleryRecallRatio.set({ shard }, recallRatio);
    if (mateTop1Ratio !== undefined) this.metrics.galleryMateTop1Ratio.set({ shard }, mateTop1Ratio);
  }

  /** Records handled and to be handled, for people who watch a start. */
  progressText(): string {
    let lag = 0;
    for (const { reader } of this.workers) for (const records of reader?.lagRecords().values() ?? []) lag += records;
    return `${lag} template records to go`;
  }

  async close(): Promise<void> {
    this.closing = true;
    const readersClosed = Promise.all(this.workers.map(({ reader }) => reader?.close() ?? Promise.resolve()));
    // A handler may wait for a Kafka that is away. The snapshot does not need its end, see `snapshot`.
    const given = new AbortController();
    await Promise.race([readersClosed, pause(HANDLERS_END_MS_MAX, given.signal)]);
    given.abort();
    await this.snapshot('shutdown');
    await Promise.all(this.workers.map(({ host }) => host.close({ snapshot: false })));
  }
}

/** Most of a shutdown's 25 s are for the snapshot: half a million templates take some seconds. */
const HANDLERS_END_MS_MAX = 5_000;
/** Far below what anybody notices between an enrolment and its being searchable. */
const TEMPLATES_LINGER_MS = 50;
/** A long poll comes back within half a second; a broker that is away does not answer at all. */
const BROKER_SILENT_MS = 3_000;
/** So that a broker which has nothing to say is told from one that is silent, and the age of what is held is known. */
const TEMPLATES_WAIT_MS_MAX = 1_000;
