/**
 * Follows every erasure until nothing of the image is left anywhere, whoever asked for it and by which way, and puts on
 * record, store by store, since when that is so. What is erased and not yet destroyed is known to every query replica;
 * one of them, the owner of the directions, does the work: it appends the tombstones and markers that make the logs
 * forget, empties the image store, and waits until each replica of the gallery says that it has destroyed its share.
 *
 * A process that was asleep can publish a template long after its erasure. The index keeps it out and puts the tombstone
 * back; here the log that holds it is to be compacted once more, and until it is, the image is not destroyed.
 */
import type { AuditLog } from '#audit/audit-log.js';
import { directionRecord } from '#contracts/direction-record.js';
import { partitionFor } from '#contracts/murmur2.js';
import { templateTombstoneHeaders } from '#contracts/template-record.js';
import { CUSTODY_IMAGES, galleryTemplates } from '#contracts/topics.js';
import { erasureDestructionId, type ErasureDestruction } from '#domain/direction.js';
import { erasedThrough } from '#domain/disposition.js';
import {
  destructionOf,
  IMAGE_STORE,
  IMAGES_LOG,
  isLate,
  REGISTER,
  replicaStore,
  storesOf,
  templatesLog,
} from '#domain/erasure-destruction.js';
import { describeError } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId, ModelId, Offset } from '#domain/ids.js';
import { hasDestroyed } from '#domain/replica-report.js';
import { backoffMs, pause } from '#kafka/backoff.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import type { DispositionFollower } from '#kafka/disposition-follower.js';
import type { LogCompaction } from '#kafka/log-compaction.js';
import type { Publisher } from '#kafka/publisher.js';
import type { ReplicaFollower } from '#kafka/replica-follower.js';
import type { ImageStore } from '#platform/image-store.js';
import type { Log } from '#platform/log.js';
import type { QueryMetrics } from '#platform/metrics.js';
import { QUERY_SOURCE } from '../query-source.js';
import { PendingDestruction } from './pending-destruction.js';
import type { GalleryRegister } from './gallery-register.js';

/** How often it is looked whether a store has confirmed. */
const LOOK_INTERVAL_MS = 1_000;
/** Begun at a time, so that a bulk erasure does not hold up the first ones of it. What was begun is only looked after. */
const AT_ONCE_MAX = 500;
const GENERATIONS_INTERVAL_MS = 10_000;
const LATE_SAID_INTERVAL_MS = 60_000;
const PUBLISH_DEADLINE_MS = 10_000;
const SYSTEM = 'custody-face-search';

export interface ErasureDestructionParts {
  readonly directions: Pick<DirectionFollower, 'about' | 'onChange' | 'upToDate'>;
  readonly dispositions: Pick<DispositionFollower, 'get' | 'all' | 'placeOf' | 'onChange'>;
  readonly register: Pick<GalleryRegister, 'image' | 'holdsNothingOf'>;
  readonly replicas: Pick<ReplicaFollower, 'all'>;
  readonly images: Pick<ImageStore, 'deleteImages'>;
  readonly publisher: Publisher;
  readonly audit: AuditLog;
  readonly compaction: Pick<LogCompaction, 'mark' | 'isCompacted'>;
  /** The models that have a gallery. */
  readonly generations: () => Promise<readonly ModelId[]>;
  /** Whose gallery the register is of. */
  readonly modelId: ModelId;
  readonly metrics: QueryMetrics;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

export class ErasureDestructions {
  private readonly pending = new Map<ImageId, PendingDestruction>();
  private models: readonly ModelId[] = [];
  private modelsAtMs = -Infinity;
  private lateSaidAtMs = -Infinity;
  private wake = (): void => {};

  constructor(
    private readonly parts: ErasureDestructionParts,
    /** Beyond it an erasure is late. */
    private readonly withinMs: number,
  ) {}

  /** From when dispositions and directions are read whole. */
  start(): void {
    const { dispositions, directions } = this.parts;
    for (const { imageId } of dispositions.all()) this.notice(imageId);
    dispositions.onChange((changes) => changes.forEach(({ imageId }) => this.notice(imageId)));
    directions.onChange((changes) => {
      for (const { before, after } of changes) {
        const direction = after ?? before;
        if (direction?.kind === 'erasure-destruction') direction.target.imageIds.forEach((id) => this.notice(id));
      }
    });
  }

  /** A template of an image was read that an erasure covers. @param at inclusive: its place on the model's log */
  noticeErasedTemplate(imageId: ImageId, at: Offset): void {
    const through = erasedThrough(this.parts.dispositions.get(imageId));
    if (through === undefined) return;
    const known = this.pending.get(imageId) ?? this.fromRecord(imageId, through);
    if (known?.reopenLog(templatesLog(this.parts.modelId), at) !== true) return;
    this.pending.set(imageId, known);
    this.parts.log.warn('template-of-erased-image', { action: 'its log is compacted once more' });
    this.wake();
  }

  /** Images that are erased and not destroyed in every store, the oldest erasure first. */
  all(): readonly PendingDestruction[] {
    return [...this.pending.values()].sort((a, b) => (a.erasedAt < b.erasedAt ? -1 : 1));
  }

  isLate({ erasedAt }: Pick<ErasureDestruction, 'erasedAt'>, nowMs = Date.now()): boolean {
    return isLate(erasedAt, this.withinMs, nowMs);
  }

  reportGauges(nowMs = Date.now()): void {
    const all = this.all();
    const late = all.filter((one) => this.isLate(one, nowMs));
    this.parts.metrics.erasuresPending.set(all.length);
    this.parts.metrics.erasuresLate.set(late.length);
    if (late.length === 0 || nowMs - this.lateSaidAtMs < LATE_SAID_INTERVAL_MS) return;
    this.lateSaidAtMs = nowMs;
    const waitsFor = [...new Set(late.flatMap((one) => one.open))].sort();
    this.parts.log.warn('erasures-late', { images: late.length, oldest: late[0]!.erasedAt, waitsFor });
  }

  /** For as long as this replica is the one that does. */
  async run(signal: AbortSignal): Promise<void> {
    let attempt = 0;
    let isNew = true;
    while (!signal.aborted) {
      try {
        await this.parts.directions.upToDate();
        if (isNew) this.takeOver();
        isNew = false;
        await this.look(signal);
        attempt = 0;
        await this.noticed(signal);
      } catch (error) {
        attempt++;
        if (!signal.aborted) {
          this.parts.log.warn('erasures-not-followed', { attempt, error: describeError(error) });
        }
        await pause(backoffMs(attempt), signal);
      }
    }
  }

  private async noticed(signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.wake = () => woken.abort();
    if (this.pending.size > 0) await pause(LOOK_INTERVAL_MS, signal);
    else await pause(GENERATIONS_INTERVAL_MS, AbortSignal.any([signal, woken.signal]));
  }

  /** What a predecessor has put on record, and what was found here meanwhile. */
  private takeOver(): void {
    for (const [imageId, known] of this.pending) {
      const fresh = this.fromRecord(imageId, known.through);
      if (fresh === undefined) continue;
      known.passFoundTo(fresh);
      this.pending.set(imageId, fresh);
    }
  }

  private notice(imageId: ImageId): void {
    const { dispositions, directions } = this.parts;
    const disposition = dispositions.get(imageId);
    const through = erasedThrough(disposition);
    if (disposition === undefined || through === undefined) {
      this.pending.delete(imageId);
      return;
    }
    const record = destructionOf(directions.about(imageId, undefined), imageId, through);
    const known = this.pending.get(imageId);
    if (record?.completedAt !== undefined && known?.isKnownTo(record) !== false) {
      this.pending.delete(imageId);
    } else if (known?.through !== through) {
      this.pending.set(imageId, PendingDestruction.of(disposition, through, record));
      this.wake();
    }
  }

  private fromRecord(imageId: ImageId, through: Offset): PendingDestruction | undefined {
    const disposition = this.parts.dispositions.get(imageId);
    const record = destructionOf(this.parts.directions.about(imageId, undefined), imageId, through);
    return disposition === undefined ? undefined : PendingDestruction.of(disposition, through, record);
  }

  private async look(signal: AbortSignal): Promise<void> {
    const pending = this.all();
    if (pending.length === 0) return;
    await this.lookForGenerations();
    const replicas = this.parts.replicas.all().map((replica) => ({ ...replica, ...layoutOf(replica.key) }));
    for (const one of pending) {
      one.expect(storesOf(partitionOf(one.imageId), this.models, replicas), new Date().toISOString());
    }
    const logs = this.logs();
    const isToBegin = (one: PendingDestruction): boolean =>
      one.isOpen(IMAGE_STORE) || logs.some(({ store }) => one.needsMarker(store));
    const begun = pending.filter(isToBegin).slice(0, AT_ONCE_MAX);
    await this.markLogs(begun);
    await this.emptyImageStore(begun);
    await this.lookIntoLogs(pending);
    this.askReplicas(pending);
    for (const one of pending) {
      if (this.parts.register.holdsNothingOf(one.imageId, one.through)) one.confirm(REGISTER);
    }
    if (signal.aborted) return;
    const changed = pending.filter((one) => one.changed || one.open.length === 0);
    for (let from = 0; from < changed.length; from += AT_ONCE_MAX) {
      await this.putOnRecord(changed.slice(from, from + AT_ONCE_MAX));
    }
  }

  private async lookForGenerations(): Promise<void> {
    if (performance.now() - this.modelsAtMs < GENERATIONS_INTERVAL_MS) return;
    this.models = await this.parts.generations();
    this.modelsAtMs = performance.now();
  }

  /**
   * Appends what supersedes the erased records, and behind it the markers: a pair for each partition that something is to
   * go from. The null that asked for the erasure is on `custody.images` already; a tombstone of the template is written
   * by ingest too, which may not have come to it.
   */
  private async markLogs(slice: readonly PendingDestruction[]): Promise<void> {
    const places = new Map<
      string,
      { readonly topic: string; readonly store: string; readonly of: PendingDestruction[] }
    >();
    for (const one of slice) {
      for (const { store, topic } of this.logs()) {
        if (!one.needsMarker(store)) continue;
        const key = `${topic}/${partitionOf(one.imageId)}`;
        const place = places.get(key) ?? { topic, store, of: [] };
        place.of.push(one);
        places.set(key, place);
      }
    }
    await Promise.all(
      [...places.values()].map(async ({ topic, store, of }) => {
        if (store !== IMAGES_LOG) await this.publishTombstones(topic, store, of);
        const marker = await this.parts.compaction.mark(topic, partitionOf(of[0]!.imageId));
        for (const one of of) one.mark(store, marker);
      }),
    );
  }

  private async publishTombstones(topic: string, store: string, of: readonly PendingDestruction[]): Promise<void> {
    // Where the image is enrolled again, its template is what supersedes the erased ones.
    const isOwn = store === templatesLog(this.parts.modelId);
    const gone = of.filter(({ imageId }) => !isOwn || this.parts.register.image(imageId) === undefined);
    const tombstones = gone.map(({ imageId }) => ({
      topic,
      key: imageId,
      value: null,
      headers: templateTombstoneHeaders(imageId, QUERY_SOURCE),
    }));
    if (tombstones.length > 0) await this.parts.publisher.publishAll(tombstones, PUBLISH_DEADLINE_MS);
  }

  /** Ingest does so when it comes to the null; what it does later, with a photograph that was late, it undoes itself. */
  private async emptyImageStore(slice: readonly PendingDestruction[]): Promise<void> {
    for (const one of slice) {
      if (!one.isOpen(IMAGE_STORE)) continue;
      await this.parts.images.deleteImages(one.imageId, one.through);
      one.confirm(IMAGE_STORE);
    }
  }

  /** One look a partition tells of any number: a log is compacted from its beginning. */
  private async lookIntoLogs(pending: readonly PendingDestruction[]): Promise<void> {
    const notYet = new Map<string, Offset>();
    for (const one of pending) {
      const partition = partitionOf(one.imageId);
      for (const { store, topic } of this.logs()) {
        const marker = one.markerOf(store);
        const place = `${topic}/${partition}`;
        if (marker === undefined || !one.isOpen(store) || marker >= (notYet.get(place) ?? Infinity)) continue;
        if (await this.parts.compaction.isCompacted(topic, partition, marker)) one.confirm(store);
        else notYet.set(place, marker);
      }
    }
  }

  private logs(): readonly { readonly store: string; readonly topic: string }[] {
    const galleries = this.models.map((model) => ({ store: templatesLog(model), topic: galleryTemplates(model) }));
    return [{ store: IMAGES_LOG, topic: CUSTODY_IMAGES }, ...galleries];
  }

  private askReplicas(pending: readonly PendingDestruction[]): void {
    const replicas = this.parts.replicas.all();
    for (const one of pending) {
      const place = this.parts.dispositions.placeOf(one.imageId);
      if (place === undefined) continue;
      for (const { key, report } of replicas) {
        if (report !== undefined && hasDestroyed(report, place)) one.confirm(replicaStore(key));
        // One that was well before, and is started anew, has files that nobody has vouched for since.
        else one.withdraw(replicaStore(key));
      }
    }
  }

  /** The audit first: what is said to be destroyed is in it. */
  private async putOnRecord(changed: readonly PendingDestruction[]): Promise<void> {
    const now = new Date();
    const whole = changed.filter((one) => one.open.length === 0);
    if (whole.length > 0) {
      await this.parts.audit.append(
        whole.map((one) => ({
          operation: 'erasure',
          action: 'erasure-destroyed',
          actor: SYSTEM,
          role: 'system',
          purpose: one.authority,
          justification: one.reason,
          imageIds: [one.imageId],
          detail: { through: one.through, erasedAt: one.erasedAt, stores: one.stores.length },
        })),
      );
    }
    const records = changed.map((one) => directionRecord(this.directionOf(one, now), QUERY_SOURCE));
    await this.parts.publisher.publishAll(records, PUBLISH_DEADLINE_MS);
    for (const one of changed) one.changed = false;
    for (const one of whole) {
      this.pending.delete(one.imageId);
      this.parts.metrics.erasureDestructionSeconds.observe((now.getTime() - Date.parse(one.erasedAt)) / 1000);
    }
    if (whole.length > 0) this.parts.log.info('erasures-destroyed', { images: whole.length });
  }

  private directionOf(one: PendingDestruction, now: Date): ErasureDestruction {
    const { imageId, through, authority, reason, erasedAt, stores } = one;
    return {
      directionId: erasureDestructionId(imageId, through),
      kind: 'erasure-destruction',
      target: { imageIds: [imageId] },
      authority,
      reason,
      by: SYSTEM,
      role: 'system',
      at: now.toISOString(),
      through,
      erasedAt,
      stores,
      ...(one.open.length === 0 && { completedAt: now.toISOString() }),
    };
  }
}

function partitionOf(imageId: ImageId): number {
  return partitionFor(imageId, TEMPLATE_PARTITIONS);
}

/** Of a replica's key. What cannot be read counts as holding everything. */
function layoutOf(key: string): { readonly shards: number; readonly shard: number } {
  const match = /^[^/]+\/(\d+)-of-(\d+)\//.exec(key);
  return match === null ? { shards: 1, shard: 0 } : { shards: Number(match[2]), shard: Number(match[1]) };
}
