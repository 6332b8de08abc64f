/** On `<topic>.dead-letters`, behind the letter: somebody has sent its source again. */
import { z } from 'zod';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from './cloud-events.js';
import { encodeJsonValue, parseJsonValue } from './json-value.js';
import type { OutgoingRecord } from './outgoing-record.js';
import { instantSchema, partitionSchema } from './record-schemas.js';
import { deadLetters } from './topics.js';

export const DEAD_LETTER_REPLAY_TYPE = 'custody.dead-letter-replay.v1';

export const deadLetterReplaySchema = z.object({
  topic: z.string(),
  partition: partitionSchema,
  offset: z.number().int().nonnegative().meta({ description: 'Inclusive: of the source, as the letter has it.' }),
  by: z.string(),
  reason: z.string(),
  at: instantSchema,
});

export type DeadLetterReplay = Readonly<z.infer<typeof deadLetterReplaySchema>>;

/** @param key of the letter */
export function deadLetterReplay(replay: DeadLetterReplay, key: string | null, source: string): OutgoingRecord {
  const subject = `${replay.topic}/${replay.partition}/${replay.offset}`;
  return {
    topic: deadLetters(replay.topic),
    key,
    value: encodeJsonValue(deadLetterReplaySchema, replay),
    headers: cloudEventHeaders({ type: DEAD_LETTER_REPLAY_TYPE, source, subject, contentType: JSON_CONTENT }),
  };
}

export function isDeadLetterReplay(headers: Headers): boolean {
  return headers['ce_type'] === DEAD_LETTER_REPLAY_TYPE;
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseDeadLetterReplay(value: Buffer | null): DeadLetterReplay {
  return parseJsonValue(deadLetterReplaySchema, value);
}
