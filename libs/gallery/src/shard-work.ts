/**
 * The work of one shard's thread, in an order that keeps searches quick and files whole.
 *
 * Searches are answered as they come. Everything that changes the shard, and every snapshot of it, stands in one queue:
 * nothing changes while a file is written. Long jobs are cut into slices, between which the thread looks at its
 * messages. When the queue is empty, the graph is built on, in slices too.
 *
 * A disposition takes effect at once, outside the queue, because hiding a template changes no file; destroying it
 * stands in the queue. So whatever is queued after a disposition, a snapshot above all, finds the template destroyed.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { erasedThrough } from '#domain/disposition.js';
import type { ImageId, Offset } from '#domain/ids.js';
import { GalleryDigest } from './gallery-digest.js';
import { GalleryShard, type HeldTemplate } from './gallery-shard.js';
import { PENDING_SCAN_MAX } from './hnsw-engine.js';
import type {
  DispositionItem,
  RestoredState,
  ShardCalls,
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
/**
 * Building the graph costs a hundred times what taking a template in does, and until then the template is found by a
 * scan. So it waits for a quiet moment, unless that scan is growing long.
 */
const QUIET_MS = 2_000;
const PENDING_BEFORE_QUIET_MAX = PENDING_SCAN_MAX / 2;

export class ShardWork {
  readonly #queue: (() => Promise<void>)[] = [];
  readonly #delays = monitorEventLoopDelay({ resolution: 5 });
  #working = false;
  #changedAtMs = 0;
  #quietTimer: NodeJS.Timeout | undefined;
  #closed = false;
  /** What the newest snapshot reflects, and whether its offsets do too; undefined while there is none. */
  #written: { revision: number; erasures: number; whole: boolean; atMs: number } | undefined;
  /** An erasure came while snapshots are set aside, and nobody knows what those hold: the next one must replace them. */
  #erasedWhileSetAside = false;

  private constructor(
    private readonly options: ShardWorkerOptions,
    private readonly snapshots: SnapshotFolder,
    private shard: GalleryShard,
    restoredAtMs: number | undefined,
    private hasSetAside: boolean,
    private readonly onBug: (error: unknown) => void,
  ) {
    if (restoredAtMs !== undefined) {
      this.#written = { revision: shard.revision, erasures: shard.erasures, whole: true, atMs: restoredAtMs };
    }
    this.#delays.enable();
    this.#wake();
  }

  /** @param onBug told of what nobody foresaw, when no file is being written */
  static async start(
    options: ShardWorkerOptions,
    fs: SnapshotFs,
    onBug: (error: unknown) => void,
  ): Promise<{ work: ShardWork; restored: RestoredState }> {
    const { clusterId, modelId, dimension, layout, partitions, snapshotFolder } = options;
    const identity = { clusterId, modelId, dimension, layout, partitions };
    const snapshots = new SnapshotFolder(fs, snapshotFolder, identity);
    const { shard, sequence, notices } = await snapshots.restore(() => new GalleryShard(options));
    const restoredAtMs = sequence === undefined ? undefined : Date.now();
    const work = new ShardWork(options, snapshots, shard, restoredAtMs, await snapshots.hasSetAside(), onBug);
    return { work, restored: { nextOffsets: shard.nextOffsets(), templates: shard.size, notices } };
  }

  apply({ changes, vectors, advance }: ShardCalls['apply']['request']): Promise<ApplyResult> {
    return this.#enqueue(async () => {
      const result = emptyApplyResult();
      this.#changedAtMs = Date.now();
      await this.#inSlices(changes, (change) => this.shard.apply(unpackChange(change, vectors), result));
      for (const { partition, nextOffset } of advance) this.shard.advance(partition, nextOffset);
      return result;
    });
  }

  setDispositions(items: readonly DispositionItem[]): void {
    const erased: ImageId[] = [];
    for (const { imageId, disposition } of items) {
      if (this.shard.setDisposition(imageId, disposition, 'later')) erased.push(imageId);
      if (this.hasSetAside && erasedThrough(disposition ?? undefined) !== undefined) this.#erasedWhileSetAside = true;
    }
    if (erased.length === 0) return;
    void this.#enqueue(() => this.#inSlices(erased, (imageId) => this.shard.destroyErased(imageId)));
  }

  search({ probe, k, mode, filter }: WorkerQuery): WorkerAnswer {
    const startMs = performance.now();
    const answer =
      probe === undefined ? { mode: 'exact' as const, candidates: [] } : this.shard.search({ probe, k, mode, filter });
    return { ...answer, coverage: this.shard.coverage(), durationMs: performance.now() - startMs };
  }

  /** @param handledTo see ShardHost.snapshot */
  snapshot(handledTo: ReadonlyMap<number, Offset>): Promise<SnapshotReport> {
    return this.#enqueue(async () => {
      const { revision, erasures } = this.shard;
      const applied = this.shard.nextOffsets();
      const nextOffsets = new Map([...applied].map(([p, next]) => [p, lower(next, handledTo.get(p))]));
      const whole = [...applied].every(([partition, next]) => nextOffsets.get(partition) === next);
      const replacesOlder = this.#erasedWhileSetAside || erasures !== (this.#written?.erasures ?? 0);
      const written = this.#written;
      if (!replacesOlder && written?.whole && written.revision === revision) return { skipped: 'unchanged' };
      const startMs = performance.now();
      this.#erasedWhileSetAside = false;
      try {
        const report = await this.snapshots.write(this.shard, nextOffsets, replacesOlder);
        this.#written = { revision, erasures, whole, atMs: Date.now() };
        this.hasSetAside &&= !replacesOlder;
        return { ...report, durationMs: performance.now() - startMs };
      } catch (error) {
        this.#erasedWhileSetAside = replacesOlder;
        throw error;
      }
    });
  }

  stats(): ShardStats {
    const { store, approximate, memoryBytes } = this.shard;
    const eventLoop = { delayMsP99: this.#delays.percentile(99) / 1e6, delayMsMax: this.#delays.max / 1e6 };
    this.#delays.reset();
    return {
      templates: store.size,
      suppressed: store.suppressed,
      tombstones: approximate.tombstones,
      approximateSize: approximate.approximateSize,
      approximatePending: approximate.pending,
      memoryBytes,
      snapshotAtMs: this.#written?.atMs,
      eventLoop,
    };
  }

  republishable(imageIds: readonly ImageId[]): HeldTemplate[] {
    return imageIds.map((imageId) => this.shard.templateOf(imageId)).filter((held) => held !== undefined);
  }

  /** When all that is queued by now is done. */
  settled(): Promise<undefined> {
    return this.#enqueue(() => Promise.resolve(undefined));
  }

  digest(): Promise<string> {
    return this.#enqueue(async () => {
      const digest = new GalleryDigest();
      await this.#inSlices(this.shard.entries(), (part) => this.shard.addToDigest(digest, part));
      return digest.hex();
    });
  }

  /** Starts empty, with the dispositions that are in force. @param reason in capitals, for the snapshots set aside */
  discardState(reason: string): Promise<void> {
    return this.#enqueue(async () => {
      await this.snapshots.setAsideAll(reason);
      const before = this.shard;
      this.shard = new GalleryShard(this.options);
      this.shard.takeDispositionsFrom(before);
      this.hasSetAside = true;
      if (before.erasures !== (this.#written?.erasures ?? 0)) this.#erasedWhileSetAside = true;
      this.#written = undefined;
    });
  }

  /** Finishes what is queued and stops building. */
  async close(snapshot: boolean): Promise<void> {
    try {
      if (snapshot) await this.snapshot(new Map());
    } finally {
      await this.settled();
      this.#closed = true;
      this.#delays.disable();
    }
  }

  /** Says so in turn, so that the thread does not die under native code that is at work. */
  reportBug(error: unknown): void {
    void this.#enqueue(() => Promise.resolve(this.onBug(error)));
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
    const quietInMs = this.#changedAtMs + QUIET_MS - Date.now();
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
