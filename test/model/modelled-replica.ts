/**
 * One worker of an index process without threads and Kafka: the same shard, queue, snapshots and decoding, on a disk that
 * fails, following a log that is an array. It puts the log right as the process does.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { encodeTemplate, templateHeaders, templateUnusableHeaders } from '#contracts/template-record.js';
import { isErased, mergeDisposition, type Disposition } from '#domain/disposition.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { imageId, offset, type ImageId, type Offset } from '#domain/ids.js';
import { FaultyDisk } from '#gallery/faulty-disk-for-tests.js';
import { packChanges, type SnapshotReport, type WorkerAnswer } from '#gallery/shard-protocol.js';
import { ShardWork } from '#gallery/shard-work.js';
import type { ShardLayout } from '#gallery/snapshot-manifest.js';
import { partitionsByWorker } from '../../apps/index/src/shard-layout.js';
import { OwedRepairs, type Repairs } from '../../apps/index/src/owed-repairs.js';
import { templateChangeOf } from '../../apps/index/src/template-changes.js';
import type { GalleryLog } from './gallery-log.js';

const CLUSTER_ID = 'MkU3OEVBNTcwNTJENDM2Qg';
/** More ids than a scene gives to images: `i0`, `i1` and so on. */
const IMAGES_MAX = 2000;
/** Records a fetch. */
const BATCH_RECORDS = 50;

export class ModelledReplica {
  readonly partitions: readonly number[];
  readonly disk: FaultyDisk;
  /** What was set aside or rebuilt by the starts so far. */
  readonly notices: string[] = [];
  readonly #bugs: unknown[] = [];
  /** By partition, exclusive: applied, and all that follows from it published. */
  #handled = new Map<number, Offset>();
  readonly #dispositions = new Map<ImageId, Disposition>();
  #dispositionsRead = 0;
  #owed = new OwedRepairs();
  #work: ShardWork | undefined;

  /** @param folder of its snapshots; not there yet */
  constructor(
    private readonly log: GalleryLog,
    private readonly dimension: number,
    readonly layout: ShardLayout,
    readonly folder: string,
    random: () => number,
  ) {
    this.partitions = partitionsByWorker(layout.shards, layout.shard, layout.workers)[layout.worker]!;
    this.disk = new FaultyDisk(folder, random);
  }

  /** Restores what its disk has, and hears of every disposition. Follows the log when it is told to. */
  async start(): Promise<void> {
    const { modelId } = this.log;
    const { work, restored } = await ShardWork.start(
      {
        clusterId: CLUSTER_ID,
        modelId,
        dimension: this.dimension,
        layout: this.layout,
        partitions: this.partitions,
        snapshotFolder: this.folder,
        autoExactMaxTemplates: 0,
        recallSampleShare: 0,
      },
      this.disk.fs,
      (error) => this.#bugs.push(error),
      0,
    );
    this.#work = work;
    this.#owed = new OwedRepairs();
    this.#handled = new Map(restored.nextOffsets);
    this.notices.push(...restored.notices);
    this.#dispositions.clear();
    this.#dispositionsRead = 0;
    this.#followDispositions();
  }

  /** Dispositions first, then the templates to their end, including what it puts right itself. */
  async follow(): Promise<void> {
    this.#followDispositions();
    for (const partition of this.partitions) {
      while (this.handled(partition) < this.log.end(partition)) await this.#followBatch(partition);
    }
    if (this.#bugs.length > 0) throw this.#bugs[0];
  }

  /** Exclusive. */
  handled(partition: number): Offset {
    return this.#handled.get(partition) ?? offset(0);
  }

  /** @throws Failure SNAPSHOT_… */
  snapshot(): Promise<SnapshotReport> {
    return this.#worker.snapshot({ handledTo: this.#owed.handledTo(this.#handled), occasion: 'always' });
  }

  search(probe: Float32Array, k: number, mode: 'exact' | 'approximate'): WorkerAnswer {
    return this.#worker.search({ probe, k, mode });
  }

  digests(): ReadonlyMap<number, string> {
    return new Map(this.#worker.report().partitions.map(({ partition, digest }) => [partition, digest]));
  }

  /** Images of which there is a template, those that may not be searched included. */
  heldImages(): Set<string> {
    const ids = Array.from({ length: IMAGES_MAX }, (_, i) => imageId(`i${i}`));
    return new Set(this.#worker.republishable(ids).map(({ metadata }) => metadata.imageId));
  }

  /** Of all that is held, from its bytes. */
  wholeDigest(): Promise<string> {
    return this.#worker.digest();
  }

  /** When the graph holds all. */
  async built(): Promise<void> {
    // Built while nothing is asked for.
    while (this.#worker.stats().approximatePending > 0) await nextTurn();
  }

  /** Ends as a process that is killed does; what it was writing stays as it is. */
  async crash(): Promise<void> {
    this.disk.failAt(1, 'EKILLED', true);
    await this.#work?.close(false);
    this.#work = undefined;
    this.disk.mend();
  }

  get #worker(): ShardWork {
    if (this.#work === undefined) throw new Error('the replica was not started');
    return this.#work;
  }

  #followDispositions(): void {
    const items = this.log.dispositions.slice(this.#dispositionsRead).map(({ imageId, disposition }) => {
      const inForce = mergeDisposition(this.#dispositions.get(imageId), disposition);
      if (inForce === undefined) this.#dispositions.delete(imageId);
      else this.#dispositions.set(imageId, inForce);
      return { imageId, disposition: inForce ?? null };
    });
    this.#dispositionsRead = this.log.dispositions.length;
    this.#worker.setDispositions(items);
  }

  async #followBatch(partition: number): Promise<void> {
    const records = this.log.read(partition, this.handled(partition), BATCH_RECORDS);
    const last = records.at(-1);
    const nextOffset = last === undefined ? this.log.end(partition) : offset(last.offset + 1);
    const changes = records.map((record) => templateChangeOf(record, this.log.modelId, this.dimension));
    const result = await this.#worker.apply({ ...packChanges(changes), advance: [{ partition, nextOffset }] });
    this.#owed.note(partition, records, result);
    if (nextOffset >= this.log.end(partition)) {
      this.#putRight(this.#owed.due(partition));
      this.#owed.settle(partition);
    }
    this.#handled.set(partition, nextOffset);
  }

  #putRight({ resurrections, staleOverwrites, unusableOverwrites }: Repairs): void {
    for (const { imageId, ...unusable } of unusableOverwrites) {
      const headers = templateUnusableHeaders(imageId, unusable, '/model');
      this.log.append(imageId, Buffer.alloc(0), headers);
    }
    for (const imageId of resurrections) this.log.append(imageId, null);
    for (const { vector, metadata, source } of this.#worker.republishable(staleOverwrites)) {
      const headers = templateHeaders({ modelId: this.log.modelId, metadata, source }, '/model');
      this.log.append(metadata.imageId, Buffer.from(encodeTemplate(vector)), headers);
    }
  }

  /** Images in an answer that the dispositions which this replica has read forbid. */
  forbidden(answer: WorkerAnswer): string[] {
    return answer.candidates
      .filter(({ imageId, sourceOffset }) => {
        const disposition = this.#dispositions.get(imageId);
        return disposition !== undefined && (disposition.kind !== 'erased' || isErased(disposition, sourceOffset));
      })
      .map(({ imageId }) => imageId);
  }
}

/** Every worker of every shard. */
export function layoutsOf(shards: number, workers: number): ShardLayout[] {
  if (TEMPLATE_PARTITIONS % shards !== 0) throw new RangeError(`${shards} shards`);
  return Array.from({ length: shards * workers }, (_, i) => ({
    shards,
    shard: Math.floor(i / workers),
    workers,
    worker: i % workers,
  }));
}
