/** `gallery.templates` and `custody.dispositions` as arrays, with the compaction that a broker does to them. */
import { partitionFor } from '#contracts/murmur2.js';
import { encodeTemplate, templateHeaders, templateTombstoneHeaders } from '#contracts/template-record.js';
import { galleryTemplates } from '#contracts/topics.js';
import type { Disposition } from '#domain/disposition.js';
import { TEMPLATE_PARTITIONS, type TemplateMetadata } from '#domain/gallery.js';
import { imageId, offset, type ImageId, type ModelId, type Offset } from '#domain/ids.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';

export interface DispositionItem {
  readonly imageId: ImageId;
  readonly disposition: Disposition | null;
}

/** A template and where its image came from. */
export interface Enrolment {
  readonly metadata: TemplateMetadata;
  /** Of the image's record on `custody.images`; inclusive. */
  readonly sourceOffset: number;
  readonly vector: Float32Array;
}

export class GalleryLog {
  /** Advanced by whoever lets something happen; what the broker stamps on records. */
  nowMs = Date.parse('2026-01-01T00:00:00Z');
  /** Compacted never: the topic is kept, and a reader that is told a key's last state knows as much. */
  readonly dispositions: DispositionItem[] = [];
  readonly #partitions = Array.from({ length: TEMPLATE_PARTITIONS }, () => ({ records: [] as KafkaRecord[], end: 0 }));

  constructor(readonly modelId: ModelId) {}

  /** Of an image's records, on both topics. */
  partitionOf(image: string): number {
    return partitionFor(image, TEMPLATE_PARTITIONS);
  }

  /** @param headers of a record that is as it should be, when they are not given */
  append(
    key: string,
    value: Buffer | null,
    headers: Readonly<Record<string, string>> = templateTombstoneHeaders(imageId(key), '/model'),
  ): void {
    const partition = this.partitionOf(key);
    const log = this.#partitions[partition]!;
    log.records.push({
      topic: galleryTemplates(this.modelId),
      partition,
      offset: offset(log.end++),
      key: Buffer.from(key, 'latin1'),
      value,
      headers,
      timestampMs: this.nowMs,
    });
  }

  appendTemplate({ metadata, sourceOffset, vector }: Enrolment): void {
    this.append(metadata.imageId, Buffer.from(encodeTemplate(vector)), this.headersOf({ metadata, sourceOffset }));
  }

  headersOf({ metadata, sourceOffset }: Omit<Enrolment, 'vector'>): Readonly<Record<string, string>> {
    const source = { sourceOffset: offset(sourceOffset), acceptedAtMs: 1_700_000_000_000 + sourceOffset };
    return templateHeaders({ modelId: this.modelId, metadata, source }, '/model');
  }

  /** @param from inclusive */
  read(partition: number, from: number, count: number): KafkaRecord[] {
    const { records } = this.#partitions[partition]!;
    let low = 0;
    for (let high = records.length; low < high;) {
      const middle = (low + high) >> 1;
      if (records[middle]!.offset < from) low = middle + 1;
      else high = middle;
    }
    return records.slice(low, low + count);
  }

  /** Exclusive. */
  end(partition: number): Offset {
    return offset(this.#partitions[partition]!.end);
  }

  /**
   * Below `limit` only a key's last record stays, and not even that if it is a tombstone that may be dropped.
   *
   * @param limit by partition, exclusive: what a cleaner may touch, because every reader has followed it up
   * @returns records removed
   */
  compact(limit: (partition: number) => number, mayDrop: (tombstoneOf: string) => boolean): number {
    let removed = 0;
    for (const [partition, log] of this.#partitions.entries()) {
      const end = limit(partition);
      const last = new Map<string, Offset>();
      for (const { key, offset: at } of log.records) if (at < end) last.set(key!.toString('latin1'), at);
      const kept = log.records.filter(({ key, offset: at, value }) => {
        const name = key!.toString('latin1');
        return at >= end || (last.get(name) === at && !(value === null && mayDrop(name)));
      });
      removed += log.records.length - kept.length;
      log.records = kept;
    }
    return removed;
  }
}
