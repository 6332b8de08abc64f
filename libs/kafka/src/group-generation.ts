import type { EachBatchPayload } from 'kafkajs';
import { endOfMessages, type RawMessage } from './kafka-record.js';

export type Assignment = readonly { readonly topic: string; readonly partition: number }[];

/** What a member is and does from one sharing of the partitions to the next. */
export interface Generation {
  readonly number: number;
  readonly assignment: Assignment;
  readonly revoke: AbortController;
  /** `onAssigned`, which batches wait for. */
  readonly ready: Promise<void>;
  /** Exclusive next offsets by `topic/partition`, not committed yet. */
  readonly toCommit: Map<string, { topic: string; partition: number; offset: string }>;
  /** Exclusive next offsets by `topic/partition`. */
  readonly handled: Map<string, number>;
  /** `topic/partition` of every batch that is with its handler. */
  readonly handling: Set<string>;
  /** Of these, by the same name, those that are not fetched because their handler takes long. */
  readonly heldUp: Map<string, Assignment[number]>;
}

/** Exclusive: past the last record of the batch, and past what compaction removed behind it. */
export function offsetAfter(batch: EachBatchPayload['batch']): number {
  const { rawMessages } = batch as unknown as { rawMessages: readonly RawMessage[] };
  return Math.max(Number(batch.lastOffset()) + 1, endOfMessages(rawMessages));
}
