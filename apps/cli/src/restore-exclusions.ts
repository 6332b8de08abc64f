/**
 * What of a backup is not restored: everything of a person who is erased, by the newest decisions that survive. These are
 * read before anything is written, so that nobody who was erased after the backup comes back with it.
 */
import { parseDisposition } from '#contracts/disposition-record.js';
import { templateSourceOffset, templateTombstoneHeaders } from '#contracts/template-record.js';
import { CUSTODY_IMAGES, generationOf } from '#contracts/topics.js';
import { erasedThrough, isErased, mergeDisposition, type Disposition } from '#domain/disposition.js';
import type { ImageId, Offset } from '#domain/ids.js';
import { imagePrefix, versionNamed, type ObjectName } from '#platform/image-store.js';
import type { BackedUpRecord } from './backup-contents.js';

export class RestoreExclusions {
  private readonly dispositions = new Map<ImageId, Disposition>();
  /** By partition of `custody.images`: the greatest offset that a disposition refers to. Inclusive. */
  private readonly referredTo = new Map<number, number>();
  /** By the stem of their objects' names, what is erased. Inclusive. */
  private readonly erasedObjects = new Map<string, Offset>();

  /** @param source how tombstones name whoever wrote them */
  constructor(private readonly source: string) {}

  /** A record of `custody.dispositions`, in the log's order. @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
  decide({ key, value, partition }: BackedUpRecord): void {
    const id = (key ?? Buffer.alloc(0)).toString('latin1') as ImageId;
    const next = value === null ? null : parseDisposition(value);
    const inForce = mergeDisposition(this.dispositions.get(id), next);
    if (inForce === undefined) this.dispositions.delete(id);
    else this.dispositions.set(id, inForce);
    const through = erasedThrough(inForce);
    if (through !== undefined) this.erasedObjects.set(imagePrefix(id).stem, through);
    const referred = Math.max(next?.sourceOffset ?? -1, through ?? -1, this.referredTo.get(partition) ?? -1);
    this.referredTo.set(partition, referred);
  }

  get erased(): number {
    return this.erasedObjects.size;
  }

  /** Exclusive: where the partition of `custody.images` may go on, so that no decision is about what comes then. */
  beyondDecisions(partition: number): Offset {
    return ((this.referredTo.get(partition) ?? -1) + 1) as Offset;
  }

  /**
   * The record as it is restored: an erased template as the tombstone that its erasure wrote; undefined for a photograph
   * that is erased.
   */
  restorable(topic: string, record: BackedUpRecord): BackedUpRecord | undefined {
    const { key, value, headers, offset } = record;
    if (value === null || key === null) return record;
    const id = key.toString('latin1') as ImageId;
    if (topic === CUSTODY_IMAGES) return isErased(this.dispositions.get(id), offset) ? undefined : record;
    if (generationOf(topic) === undefined) return record;
    const from = templateSourceOffset(headers);
    if (from === undefined || !isErased(this.dispositions.get(id), from)) return record;
    return { ...record, value: null, headers: templateTombstoneHeaders(id, this.source) };
  }

  restorableObject(name: ObjectName): boolean {
    const version = versionNamed(name);
    if (version === undefined) return true;
    const through = this.erasedObjects.get(version.stem);
    return through === undefined || version.sourceOffset > through;
  }
}
