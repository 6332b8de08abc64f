/**
 * On `custody.images.v1`: somebody asks that an image that was put aside is handled again. It names the image's record,
 * and holds nothing of it: what is erased meanwhile is in no second place. Ingest reads that record again and handles it
 * as delivered once more, under its own offset; so a later image of the same id wins, and an erasure covers it.
 *
 * Its key has a blank, so that it is no image's, and compaction takes the image's own record for no older version of it;
 * its partition is the image's.
 */
import { z } from 'zod';
import type { ImageId, Offset } from '#domain/ids.js';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from './cloud-events.js';
import { parseJsonValue } from './json-value.js';
import type { OutgoingRecord } from './outgoing-record.js';
import { imageIdSchema, offsetSchema } from './record-schemas.js';
import { CUSTODY_IMAGES } from './topics.js';

export const CUSTODY_REPLAY_TYPE = 'custody.image-replay.v1';

export interface CustodyReplay {
  readonly imageId: ImageId;
  /** Of the image's record, in the same partition. Inclusive. */
  readonly offset: Offset;
}

export const custodyReplaySchema = z.object({ imageId: imageIdSchema, offset: offsetSchema });

export function custodyReplay(replay: CustodyReplay, partition: number, source: string): OutgoingRecord {
  return {
    topic: CUSTODY_IMAGES,
    partition,
    key: `replay ${replay.offset}`,
    value: Buffer.from(JSON.stringify(replay)),
    headers: cloudEventHeaders({
      type: CUSTODY_REPLAY_TYPE,
      source,
      subject: replay.imageId,
      contentType: JSON_CONTENT,
    }),
  };
}

export function isCustodyReplay(headers: Headers): boolean {
  return headers['ce_type'] === CUSTODY_REPLAY_TYPE;
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseCustodyReplay(value: Buffer | null): CustodyReplay {
  return parseJsonValue(custodyReplaySchema, value);
}
