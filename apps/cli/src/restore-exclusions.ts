/**
 * What of a backup is not restored: everything of a person who is erased, by the newest decisions that survive, and the
 * probes of searches that are lost. These are read before anything is written, so that nobody who was erased after the
 * backup comes back with it.
 */
import { extension } from '#contracts/cloud-events.js';
import { parseDisposition } from '#contracts/disposition-record.js';
import { templateSourceOffset, templateTombstoneHeaders } from '#contracts/template-record.js';
import { CUSTODY_IMAGES, generationOf } from '#contracts/topics.js';
import {
  erasedThrough,
  isErased,
  mergeDisposition,
  unreadableDisposition,
  type Disposition,
} from '#domain/disposition.js';
import { Refusal } from '#domain/errors.js';
import type { ImageId, Offset, SearchId } from '#domain/ids.js';
import { imagePrefix, searchNamed, versionNamed, type ObjectName } from '#platform/image-store.js';
import type { BackedUpRecord } from './backup-contents.js';

export class RestoreExclusions {
  private readonly dispositions = new Map<ImageId, Disposition>();
  /** By partition of `custody.images`: the greatest offset that a disposition refers to. Inclusive. */
  private readonly referredTo = new Map<number, number>();
  /** By the stem of their objects' names, what is erased. Inclusive. */
  private readonly erasedObjects = new Map<string, Offset>();
  /** The images that wait to be handled: where the last record of each stood that was asked about. Inclusive. */
  private readonly lastWaiting = new Map<ImageId, Offset>();
  private readonly searches = new Set<SearchId>();
  private readonly unreadable: string[] = [];

  /** @param source how tombstones name whoever wrote them */
  constructor(private readonly source: string) {}

  /** A record of `custody.dispositions`, in the log's order. */
  decide(record: BackedUpRecord): void {
    const { key, value, partition } = record;
    if (key === null) return;
    const id = key.toString('latin1') as ImageId;
    const next = value === null ? null : this.parse(id, value, record);
    const inForce = mergeDisposition(this.dispositions.get(id), next);
    if (inForce === undefined) this.dispositions.delete(id);
    else this.dispositions.set(id, inForce);
    const through = erasedThrough(inForce);
    if (through !== undefined) this.erasedObjects.set(imagePrefix(id).stem, through);
    const referred = Math.max(next?.sourceOffset ?? -1, through ?? -1, this.referredTo.get(partition) ?? -1);
    this.referredTo.set(partition, referred);
  }

  /** A record of `searches.events`, in the log's order. */
  noteEvent({ key, value }: BackedUpRecord): void {
    // See `searchEventKey`: all keys of a search begin with its id. A null is the end of its retention.
    const id = key?.toString('utf8').split('/')[0] as SearchId | undefined;
    if (id === undefined) return;
    if (value === null) this.searches.delete(id);
    else this.searches.add(id);
  }

  hasEvents(id: SearchId): boolean {
    return this.searches.has(id);
  }

  /** Places on `custody.dispositions` of records that cannot be read: `partition/offset`. */
  get unreadableDispositions(): readonly string[] {
    return this.unreadable;
  }

  get erased(): number {
    return this.erasedObjects.size;
  }

  /** Exclusive: where the partition of `custody.images` may go on, so that no decision is about what comes then. */
  beyondDecisions(partition: number): Offset {
    return ((this.referredTo.get(partition) ?? -1) + 1) as Offset;
  }

  /**
   * The record as it is restored, asked in the log's order: an erased template as the tombstone that its erasure wrote;
   * undefined for a photograph that is erased, or replaced.
   */
  restorable(topic: string, record: BackedUpRecord): BackedUpRecord | undefined {
    const { key, value, headers } = record;
    if (key === null) return record;
    const id = key.toString('latin1') as ImageId;
    if (topic === CUSTODY_IMAGES) return this.restorableImage(id, record);
    if (value === null) return record;
    if (generationOf(topic) === undefined) return record;
    const from = templateSourceOffset(headers);
    if (from === undefined || !isErased(this.dispositions.get(id), from)) return record;
    return { ...record, value: null, headers: templateTombstoneHeaders(id, this.source) };
  }

  restorableObject(name: ObjectName): boolean {
    const searchId = searchNamed(name);
    // Nobody would ever destroy it.
    if (searchId !== undefined) return this.hasEvents(searchId);
    const version = versionNamed(name);
    if (version === undefined) return true;
    const through = this.erasedObjects.get(version.stem);
    return through === undefined || version.sourceOffset > through;
  }

  /**
   * A correction is restored as a photograph of its own: ingest would look for what it corrects in the image store, where
   * the backup has it no longer if the correction was handled before the objects were copied.
   */
  private restorableImage(id: ImageId, record: BackedUpRecord): BackedUpRecord | undefined {
    const before = this.lastWaiting.get(id);
    this.lastWaiting.set(id, record.offset);
    if (record.value === null) return record;
    const erased = (from: Offset): boolean => isErased(this.dispositions.get(id), from);
    if (erased(record.offset)) return undefined;
    const { ce_correctionof: _corrects, ...headers } = record.headers;
    const given = extension(record.headers, 'correctionof');
    // None, or one that ingest refuses.
    if (given === undefined || !/^\d{1,15}$/.test(given)) return record;
    const corrects = Number(given) as Offset;
    // What it corrects was to be erased, or replaced, by a record that ingest comes to first.
    if (erased(corrects) || (before !== undefined && before > corrects)) return undefined;
    return { ...record, headers };
  }

  /** As the services take it, which say so in their logs. */
  private parse(id: ImageId, value: Buffer, { partition, offset: at, timestampMs }: BackedUpRecord): Disposition {
    try {
      return parseDisposition(value);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.unreadable.push(`${partition}/${at}`);
      return unreadableDisposition(id, timestampMs);
    }
  }
}
