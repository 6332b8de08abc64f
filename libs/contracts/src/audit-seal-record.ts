/**
 * How the audit log is sealed and handed on, line by line in JSON. `audit.checkpoints.v1` holds for each seal two records:
 * the leaves that it seals, so that somebody who finds another root can say which leaf differs, and the signed
 * checkpoint. The append-only copy in AUDIT_CHECKPOINT_DIR has the same two as lines, and an export has them too, with
 * the log and the entries as they are in Kafka.
 */
import { z } from 'zod';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from './cloud-events.js';
import type { OutgoingRecord } from './outgoing-record.js';
import { AUDIT_CHECKPOINTS } from './topics.js';

export const AUDIT_CHECKPOINT_TYPE = 'audit.checkpoint.v1';
export const AUDIT_SEALED_LEAVES_TYPE = 'audit.sealed-leaves.v1';

/** A leaf as it lies in `audit.log`. */
export interface LoggedLeaf {
  /** 32 bytes, SHA-256 of the entry. */
  readonly leaf: Buffer;
  /** Of the entry. Not in the leaf's hash: the entry itself, which is, holds it too. */
  readonly eventId: string;
  /** When the broker appended it, ISO 8601. */
  readonly loggedAt: string;
}

export interface SealedLeaves {
  /** Index of the first. */
  readonly from: number;
  readonly leaves: readonly LoggedLeaf[];
}

const EVENT_ID_LENGTH_MAX = 128;
/** 32 bytes, unless somebody has written to the log who may not: whatever is there is a leaf. */
const leafSchema = z.string().transform((base64): Buffer => Buffer.from(base64, 'base64'));
const eventIdSchema = z.string().max(EVENT_ID_LENGTH_MAX);
const indexSchema = z.number().int().nonnegative();

export const sealedLeavesSchema = z.object({
  kind: z.literal('sealed'),
  from: indexSchema,
  leaves: z.array(
    z
      .tuple([leafSchema, eventIdSchema, z.string()])
      .transform(([leaf, eventId, loggedAt]) => ({ leaf, eventId, loggedAt })),
  ),
});
const checkpointSchema = z.object({ kind: z.literal('checkpoint'), note: z.string() });

const lineSchema = z.discriminatedUnion('kind', [
  /** The first line of an export. */
  z.object({ kind: z.literal('audit-export'), version: z.literal(1), exportedAt: z.string() }),
  sealedLeavesSchema,
  checkpointSchema,
  z.object({
    kind: z.literal('leaf'),
    index: indexSchema,
    leaf: leafSchema,
    eventId: eventIdSchema,
    loggedAt: z.string(),
  }),
  /** `body`: the entry's bytes, base64; null where the entry was destroyed. Of one eventId the last line holds. */
  z.object({
    kind: z.literal('entry'),
    eventId: z.string(),
    body: z
      .string()
      .transform((base64): Buffer => Buffer.from(base64, 'base64'))
      .nullable(),
  }),
  /** The last line: an export without it was cut off on its way. Exports once did not say when they ended. */
  z.object({ kind: z.literal('end'), leaves: indexSchema, endedAt: z.string().optional() }),
]);

/** A line of an export or of the append-only copy. */
export type AuditLine = z.infer<typeof lineSchema>;

/** @returns undefined when it is not such a line */
export function parseAuditLine(text: string): AuditLine | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = lineSchema.safeParse(json);
  return parsed.success ? parsed.data : undefined;
}

/** Of a record of `audit.log`. Cut to what a seal can hold: whoever writes a longer one may not write there. */
export function leafEventId(headers: Headers): string {
  return (headers['ce_id'] ?? '').slice(0, EVENT_ID_LENGTH_MAX);
}

/** Without a line break. */
export function formatAuditLine(line: AuditLine): string {
  switch (line.kind) {
    case 'sealed': {
      const leaves = line.leaves.map(({ leaf, eventId, loggedAt }) => [leaf.toString('base64'), eventId, loggedAt]);
      return JSON.stringify({ ...line, leaves });
    }
    case 'leaf':
      return JSON.stringify({ ...line, leaf: line.leaf.toString('base64') });
    case 'entry':
      return JSON.stringify({ ...line, body: line.body?.toString('base64') ?? null });
    case 'audit-export':
    case 'checkpoint':
    case 'end':
      return JSON.stringify(line);
  }
}

/** What a seal puts on `audit.checkpoints`: the leaves before the checkpoint that seals them. */
export function sealRecords(sealed: SealedLeaves, note: string, source: string): OutgoingRecord[] {
  const subject = String(sealed.from + sealed.leaves.length);
  const record = (type: string, contentType: string, value: string): OutgoingRecord => ({
    topic: AUDIT_CHECKPOINTS,
    key: null,
    partition: 0,
    value,
    headers: cloudEventHeaders({ type, source, subject, contentType }),
  });
  return [
    record(
      AUDIT_SEALED_LEAVES_TYPE,
      JSON_CONTENT,
      formatAuditLine({ kind: 'sealed', from: sealed.from, leaves: [...sealed.leaves] }),
    ),
    record(AUDIT_CHECKPOINT_TYPE, 'text/plain', note),
  ];
}

/** @returns the line that a record of `audit.checkpoints` is in an export; undefined for a record that is neither kind */
export function sealLine(headers: Headers, value: Buffer | null): AuditLine | undefined {
  const text = value?.toString('utf8') ?? '';
  if (headers['ce_type'] === AUDIT_CHECKPOINT_TYPE) return { kind: 'checkpoint', note: text };
  const line = headers['ce_type'] === AUDIT_SEALED_LEAVES_TYPE ? parseAuditLine(text) : undefined;
  return line?.kind === 'sealed' ? line : undefined;
}
