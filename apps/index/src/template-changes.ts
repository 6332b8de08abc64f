/** What a record of `gallery.templates` asks of a shard. Never throws: a record may hold anything. */
import {
  decodeTemplate,
  parseTemplateKeeping,
  parseTemplateRecord,
  standsForUnusable,
  templateSourceOffset,
} from '#contracts/template-record.js';
import { describeError } from '#domain/errors.js';
import type { ImageId, ModelId } from '#domain/ids.js';
import type { TemplateChange } from '#gallery/template-change.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';

/** @param dimension of the model's templates */
export function templateChangeOf(record: KafkaRecord, modelId: ModelId, dimension: number): TemplateChange {
  // Byte by byte, so that a key that is no imageId stays one: the shard tells them apart.
  const imageId = (record.key ?? Buffer.alloc(0)).toString('latin1') as ImageId;
  const place = { partition: record.partition, offset: record.offset, imageId, timestampMs: record.timestampMs };
  const sourceOffset = templateSourceOffset(record.headers);
  const from = { ...(sourceOffset !== undefined && { sourceOffset }) };
  if (record.value === null) return { ...place, kind: 'tombstone', ...from };
  try {
    const parsed = parseTemplateRecord(record.key, record.headers);
    if (parsed.modelId === modelId) {
      const { metadata, source } = parsed;
      const keeping = parseTemplateKeeping(record.headers);
      const vector = decodeTemplate(record.value, dimension);
      const isKept = Object.keys(keeping).length > 0;
      return { ...place, kind: 'template', vector, metadata, source, ...(isKept && { keeping }) };
    }
    return unusable('MODEL_DIFFERS');
  } catch (error) {
    return unusable(describeError(error));
  }

  function unusable(reason: string): TemplateChange {
    const timestampMs = standsForUnusable(record.headers) ?? record.timestampMs;
    return { ...place, timestampMs, kind: 'unusable', reason, ...from };
  }
}
