/**
 * The work of one shard's thread, in an order that keeps searches quick and files whole.
 *
 * Searches are answered as they come. Everything that changes the shard, and every snapshot of it, stands in one queue:
 * nothing changes while a file is written. Long jobs are cut into slices, between which the thread looks at its
 * messages. When the queue is empty, searches sampled to watch the graph's recall are done again, and the graph is built
 * on, in slices too.
 *
 * A disposition takes effect at once, outside the queue, because hiding a template changes no file; destroying it
 * stands in the queue. So whatever is queued after a disposition, a snapshot above all, finds the template destroyed.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { partitionFor } from '#contracts/murmur2.js';
import { erasedThrough } from '#domain/disposition.js';
import { Failure } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId, Offset } from '#domain/ids.js';
import { GalleryDigest } from './gallery-digest.js';
import type { HeldTemplate, ShardCoverage } from './gallery-contents.js';
import { GalleryShard } from './gallery-shard.js';
import { PENDING_SCAN_MAX } from './hnsw-engine.js';
import { RecallWatch } from './recall-watch.js';
import type {
  DispositionItem,
  RestartCost,
  RestoredState,
  ShardCalls,
  ShardReport,
  ShardStats,
  ShardWorkerOptions,
  SnapshotReport,
  WorkerAnswer,
  WorkerQuery,
} from './shard-protocol.js';
import { unpackChange } from './shard-protocol.js';
import { SnapshotFolder } from './snapshot.js';
import type { SnapshotFs } from './snapshot-files.js';
import { emptyApplyResult, type ApplyResult } from './template-change.js';

/** What a search may have to wait for: about as long as a search takes. */
const SLICE_MS = 5;
/** Nobody waits for a sample, so that it makes nobody wait. */
const RECALL_SLICE_MS = 0.5;
/**
 * Building the graph costs a hundred times what taking a template in does, and until then the template is found by a
 * scan. So it waits for a quiet moment, unless that scan is growing long.
 */
const QUIET_MS = 2_000;
const PENDING_BEFORE_QUIET_MAX = PENDING_SCAN_MAX / 2;
/** From the log to searchable, at 512 dimensions: 20,000 records a second, reading and decoding included. */
const REPLAY_MS_PER_CHANGE = 0.05;
/** Until this disk has shown what it does: written, flushed, hashed and read back at 150 MB/s. */
const WRITE_MS_PER_BYTE = 1 / 150_000;

interface WrittenState {
  readonly revision: number;
  readonly erasures: number;
  readonly whole: boolean;
  readonly atMs: number;
  readonly templates: number;
  readonly sizeBytes: number;
}

export class ShardWork {
  readonly #queue: (() => Promise<void>)[] = [];
  readonly #recall: RecallWatch;
  #working = false;
  #changedAtMs = 0;
  #quietTimer: NodeJS.Timeout | undefined;
  #closed = false;
  /** What the newest snapshot reflects, and whether its offsets do too; undefined while there is none. */
  #written: WrittenState | undefined;
  /**
   * Files may hold what a disposition erases: the template was in memory, or something that is gone since the newest
   * snapshot may have been it, or there are other snapshots and nobody knows what those hold. The next one replaces all.
   */
  #erasedInFiles = false;
  /** Jobs in the queue that destroy what is erased, or replace the files that may hold it. */
  #destroying = 0;
  /** Records applied since the newest snapshot: what a start from it would read again. */
  #changes = 0;
  #coverage: readonly ShardCoverage[] | undefined;
  /** As the last snapshot took on this disk, of what it was thought to need. */
  #writeMsPerByte = WRITE_MS_PER_BYTE;

  private constructor(
    private readonly options: ShardWorkerOptions,
    private readonly snapshots: SnapshotFolder,
    private shard: GalleryShard,
    restored: Pick<WrittenState, 'atMs' | 'sizeBytes'> | undefined,
    private hasUnknownFiles: boolean,
    private readonly onBug: (error: unknown) => void,
    private readonly quietMs: number,
  ) {
    if (restored !== undefined) {
      const { revision, erasures, size: templates } = shard;
      this.#written = { revision, erasures, whole: true, templates, ...restored };
    }
    this.#recall = new RecallWatch(options.recallSampleShare);
    this.#wake();
  }

  /**
   * @param onBug told of what nobody foresaw, when no file is being written
   * @param quietMs after the last change, before the graph is built on
   */
  static async start(
    options: ShardWorkerOptions,
    fs: SnapshotFs,
    onBug: (error: unknown) => void,
    quietMs = QUIET_MS,
  ): Promise<{ work: ShardWork; restored: RestoredState }> {
    const { clusterId, modelId, dimension, layout, partitions, snapshotFolder } = options;
    const identity = { clusterId, modelId, dimension, layout, partitions };
    const snapshots = new SnapshotFolder(fs, snapshotFolder, identity);
    const { shard, sequence, previous, written, notices } = await snapshots.restore(() => new GalleryShard(options));
    const work = new ShardWork(
      options,
      snapshots,
      shard,
      written,
      await snapshots.hasOthers([sequence, previous]),
      onBug,
      quietMs,
    );
    const restored = { nextOffsets: shard.nextOffsets(), templates: shard.size, writtenAtMs: written?.atMs, notices };
    return { work, restored };
  }

  apply({ changes, vectors, advance }: ShardCalls['apply']['request']): Promise<ApplyResult> {
    return this.#enqueue(async () => {
      const result = emptyApplyResult();
      this.#changedAtMs = Date.now();
      this.#changes += changes.length;
      await this.#inSlices(changes, (change) => this.shard.apply(unpackChange(change, vectors), result));
      for (const { partition, nextOffset } of advance) this.shard.advance(partition, nextOffset);
      new Uint8Array(vectors).fill(0); // The store has them, and is all that an erasure overwrites.
      return result;
    });
  }

  setDispositions(items: readonly DispositionItem[]): void {
    this.#coverage = undefined;
    const erased: ImageId[] = [];
    for (const { imageId, disposition } of items) {
      const isHeld = this.shard.setDisposition(imageId, disposition, 'later');
      if (isHeld) erased.push(imageId);
      const mayHaveBeenHeld = this.hasUnknownFiles || this.#hasForgottenSinceWritten(this.shard);
      const isErasure = erasedThrough(disposition ?? undefined) !== undefined;
      if (isHeld || (isErasure && mayHaveBeenHeld && this.#isOfThisShard(imageId))) this.#erasedInFiles = true;
    }
    if (erased.length === 0) return;
    this.#destroying++;
    void this.#enqueue(async () => {
      await this.#inSlices(erased, (imageId) => this.shard.destroyErased(imageId));
      // A snapshot that was asked for before, and begun since, has been written with them.
      if (this.#hasForgottenSinceWritten(this.shard)) this.#erasedInFiles = true;
      this.#destroying--;
    });
  }

  search({ probe, k, mode, filter, deadlineMs = Infinity }: WorkerQuery): WorkerAnswer {
    // Work that nobody waits for any more would make the next ones late, too.
    if (Date.now() > deadlineMs) throw new Failure('QUERY_EXPIRED', 'Nobody waits for this search any more.', true);
    const startMs = performance.now();
    if (probe === undefined) {
      return { mode: 'exact', candidates: [], coverage: this.#coverageNow(), durationMs: 0 };
    }
    const answer = this.shard.search({ probe, k, mode, filter });
    if (answer.mode === 'approximate') {
      this.#recall.observe(this.shard, { probe, k }, answer);
      if (this.#recall.waiting > 0) this.#wake();
    }
    return { ...answer, coverage: this.#coverageNow(), durationMs: performance.now() - startMs };
  }

  /** One for the searches of a turn, between which nothing changes: it goes to the host once. */
  #coverageNow(): readonly ShardCoverage[] {
    if (this.#coverage === undefined) {
      this.#coverage = this.shard.coverage();
      queueMicrotask(() => (this.#coverage = undefined));
    }
    return this.#coverage;
  }

  /** See ShardHost.snapshot. */
  snapshot({ handledTo, occasion }: ShardCalls['snapshot']['request']): Promise<SnapshotReport> {
    return this.#enqueue(async () => {
      const { revision, erasures, size: templates } = this.shard;
      const applied = this.shard.nextOffsets();
      const nextOffsets = new Map([...applied].map(([p, next]) => [p, lower(next, handledTo.get(p))]));
      const whole = [...applied].every(([partition, next]) => nextOffsets.get(partition) === next);
      const replacesOlder = this.#erasedInFiles || this.#hasForgottenSinceWritten(this.shard);
      const written = this.#written;
      if (!replacesOlder && written?.whole && written.revision === revision) return { skipped: 'unchanged' };
      const cost = this.#restartCost();
      if (occasion === 'worthwhile' && !replacesOlder && cost.replayMs < cost.writeMs) {
        return { skipped: 'replay-is-quicker', ...cost };
      }
      const changes = this.#changes;
      const startMs = performance.now();
      // What is erased while it is being written is in it.
      this.#erasedInFiles = false;
      this.#destroying++;
      try {
        const report = await this.snapshots.write(this.shard, nextOffsets, replacesOlder);
        this.#written = { revision, erasures, whole, atMs: Date.now(), templates, sizeBytes: report.sizeBytes };
        this.hasUnknownFiles &&= !replacesOlder;
        this.#changes -= changes;
        const durationMs = performance.now() - startMs;
        this.#writeMsPerByte = durationMs / this.snapshots.neededBytes(this.shard);
        return { ...report, durationMs };
      } catch (error) {
        this.#erasedInFiles ||= replacesOlder;
        throw error;
      } finally {
        this.#destroying--;
      }
    });
  }

  stats(): ShardStats {
    const { store, approximate, templates } = this.shard;
    return {
      templates: store.size,
      suppressed: store.suppressed,
      unusable: this.shard.coverage().reduce((sum, { unusable }) => sum + unusable, 0),
      tombstones: approximate.tombstones,
      approximateSize: approximate.approximateSize,
      approximatePending: approximate.pending,
      recall: this.#recall.stats(),
      memoryBytes: templates.memoryBytes,
      entryBytes: templates.entryBytes,
      snapshotAtMs: this.#written?.atMs,
    };
  }

  report(): ShardReport {
    return {
      partitions: this.shard.partitionDigests(),
      destruction: this.#erasedInFiles ? 'needs-snapshot' : this.#destroying > 0 ? 'under-way' : 'done',
      snapshot: this.#written,
    };
  }

  republishable(imageIds: readonly ImageId[]): HeldTemplate[] {
    return imageIds.map((imageId) => this.shard.republishable(imageId)).filter((held) => held !== undefined);
  }

  /** When all that is queued by now is done. */
  settled(): Promise<undefined> {
    return this.#enqueue(() => Promise.resolve(undefined));
  }

  digest(): Promise<string> {
    return this.#enqueue(async () => {
      const digest = new GalleryDigest();
      await this.#inSlices(this.shard.heldSlots(), (slot) => this.shard.templates.addToDigest(digest, slot));
      return digest.hex();
    });
  }

  /** Starts empty, with the dispositions that are in force. @param reason in capitals, for the snapshots set aside */
  discardState(reason: string): Promise<void> {
    return this.#enqueue(async () => {
      await this.snapshots.setAsideAll(reason);
      const before = this.shard;
      this.#recall.drop();
      this.shard = new GalleryShard(this.options);
      this.shard.takeDispositionsFrom(before);
      this.hasUnknownFiles = true;
      if (this.#hasForgottenSinceWritten(before)) this.#erasedInFiles = true;
      this.#written = undefined;
    });
  }

  /** Finishes what is queued and stops building. */
  async close(snapshot: boolean): Promise<void> {
    try {
      if (snapshot) await this.snapshot({ handledTo: new Map(), occasion: 'always' });
    } finally {
      await this.settled();
      this.#closed = true;
    }
  }

  /** Says so in turn, so that the thread does not die under native code that is at work. */
  reportBug(error: unknown): void {
    void this.#enqueue(() => Promise.resolve(this.onBug(error)));
  }

  #restartCost(): RestartCost {
    return {
      replayMs: this.#changes * REPLAY_MS_PER_CHANGE,
      writeMs: this.snapshots.neededBytes(this.shard) * this.#writeMsPerByte,
    };
  }

  #isOfThisShard(imageId: ImageId): boolean {
    return this.options.partitions.includes(partitionFor(imageId, TEMPLATE_PARTITIONS));
  }

  /** Templates went since the newest snapshot: superseded, erased, or by a tombstone. */
  #hasForgottenSinceWritten({ erasures }: GalleryShard): boolean {
    return erasures !== (this.#written?.erasures ?? 0);
  }

  async #inSlices<T>(items: Iterable<T>, handle: (item: T) => void): Promise<void> {
    let sliceEndMs = performance.now() + SLICE_MS;
    for (const item of items) {
      handle(item);
      if (performance.now() < sliceEndMs) continue;
      await nextTurn();
      sliceEndMs = performance.now() + SLICE_MS;
    }
  }

  #enqueue<T>(job: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#queue.push(() => job().then(resolve, reject));
    this.#wake();
    return promise;
  }

  #wake(): void {
    if (this.#working) return;
    this.#working = true;
    this.#work().catch((error: unknown) => this.onBug(error));
  }

  #waitsForQuiet(): boolean {
    const { pending } = this.shard.approximate;
    const quietInMs = this.#changedAtMs + this.quietMs - Date.now();
    if (pending > PENDING_BEFORE_QUIET_MAX || quietInMs <= 0) return false;
    clearTimeout(this.#quietTimer);
    this.#quietTimer = setTimeout(() => this.#wake(), quietInMs).unref();
    return true;
  }

  async #work(): Promise<void> {
    for (;;) {
      await nextTurn();
      const job = this.#queue.shift();
      if (job !== undefined) await job();
      else if (this.#recall.waiting > 0) this.#recall.work(performance.now() + RECALL_SLICE_MS);
      else if (this.#closed || this.#waitsForQuiet()) break;
      else if (this.shard.approximate.build(performance.now() + SLICE_MS)) break;
    }
    this.#working = false;
    if (this.#queue.length > 0) this.#wake();
  }
}

function lower(applied: Offset, handled: Offset | undefined): Offset {
  return handled !== undefined && handled < applied ? handled : applied;
}
