/**
 * `audit.log.v1` holds, in order, one salted hash per entry; `audit.entries.v1` holds the entries. An entry can be
 * destroyed at the end of its own retention, while the log, and every proof over it, stays.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { z } from 'zod';
import { ROLES, type Role } from '#domain/identity.js';
import { cloudEventHeaders, JSON_CONTENT, type Headers } from './cloud-events.js';
import { encodeJsonValue } from './json-value.js';
import type { OutgoingRecord } from './outgoing-record.js';
import { instantSchema } from './record-schemas.js';
import { AUDIT_ENTRIES } from './topics.js';

/** The six operations of the Data Protection Act 2018, section 62(1). */
export const AUDIT_OPERATIONS = [
  'collection',
  'alteration',
  'consultation',
  'disclosure',
  'combination',
  'erasure',
] as const;
export type AuditOperation = (typeof AUDIT_OPERATIONS)[number];

/** What is said about one operation. Never a face, a template or a probe (its SHA-256 at most). */
export interface AuditStatement {
  readonly operation: AuditOperation;
  /** What was done, for example `operator-search` or `operator-search-answered`. */
  readonly action: string;
  readonly actor: string;
  readonly role: Role | 'system';
  readonly system?: string;
  readonly purpose: string;
  readonly justification?: string;
  readonly searchId?: string;
  /** Whose data: the subjects and images concerned. */
  readonly subjectIds?: readonly string[];
  readonly imageIds?: readonly string[];
  /** To whom it was disclosed. */
  readonly recipients?: readonly string[];
  readonly probeSha256?: string;
  readonly modelId?: string;
  readonly thresholdVersion?: number;
  readonly detail?: Readonly<Record<string, string | number | boolean>>;
}

export interface AuditEntry extends AuditStatement {
  readonly eventId: string;
  /** ISO 8601. */
  readonly at: string;
  /** 32 random bytes, base64: without the entry, nobody can guess its contents from the leaf. */
  readonly salt: string;
}

export const AUDIT_ENTRY_TYPE = 'audit.entry.v1';

export const auditEntrySchema = z.object({
  eventId: z.string().min(1),
  at: instantSchema,
  salt: z.string().min(1),
  operation: z.enum(AUDIT_OPERATIONS),
  action: z.string().min(1),
  actor: z.string(),
  role: z.enum([...ROLES, 'system']),
  system: z.string().optional(),
  purpose: z.string(),
  justification: z.string().optional(),
  searchId: z.string().optional(),
  subjectIds: z.array(z.string()).optional(),
  imageIds: z.array(z.string()).optional(),
  recipients: z.array(z.string()).optional(),
  probeSha256: z.string().optional(),
  modelId: z.string().optional(),
  thresholdVersion: z.number().int().optional(),
  detail: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
});

/** @param source which service says so */
export function auditEntryHeaders(eventId: string, source: string): Headers {
  return cloudEventHeaders({ type: AUDIT_ENTRY_TYPE, source, subject: eventId, contentType: JSON_CONTENT });
}

export const AUDIT_ENTRY_DESTROYED_TYPE = 'audit.entry-destroyed.v1';

/** The record that destroys an entry. @param source which service says so */
export function auditEntryEnd(eventId: string, source: string): OutgoingRecord {
  const headers = cloudEventHeaders({ type: AUDIT_ENTRY_DESTROYED_TYPE, source, subject: eventId });
  return { topic: AUDIT_ENTRIES, key: eventId, value: null, headers };
}

const SALT_BYTES = 32;

export function auditEntry(statement: AuditStatement, now: Date = new Date()): AuditEntry {
  return {
    eventId: randomUUID(),
    at: now.toISOString(),
    salt: randomBytes(SALT_BYTES).toString('base64'),
    ...statement,
  };
}

/** The entry's bytes as they are stored and hashed: JSON exactly as written, so that no canonical form is needed. */
export function encodeAuditEntry(entry: AuditEntry): Buffer {
  return encodeJsonValue(auditEntrySchema, entry);
}

export const AUDIT_LEAF_BYTES = 32;

/** The log's value for an entry: SHA-256 over the entry's stored bytes, which hold the salt. 32 bytes. */
export function auditLeaf(encodedEntry: Buffer): Buffer {
  return createHash('sha256').update(encodedEntry).digest();
}

/** @returns undefined when it is not an entry: only somebody who changed it can have written that */
export function parseAuditEntry(body: Buffer): AuditEntry | undefined {
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const entry = json as Partial<Record<keyof AuditEntry, unknown>>;
  const isEntry =
    [entry.eventId, entry.at, entry.actor, entry.operation, entry.action].every(isText) &&
    [entry.searchId, entry.system, entry.role].every((value) => value === undefined || isText(value)) &&
    [entry.subjectIds, entry.imageIds, entry.recipients].every((value) => value === undefined || isTexts(value)) &&
    (entry.detail === undefined || (typeof entry.detail === 'object' && entry.detail !== null));
  return isEntry ? (json as AuditEntry) : undefined;
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(isText);
}

export const DESTRUCTION_ACTION = 'audit-entries-destroyed';

/** The end of the entries' retention: which leaves have no entry any more, and on whose decision. */
export interface AuditDestruction {
  readonly destructionId: string;
  /** Exclusive: the entries of all leaves below it, except those that say so themselves. */
  readonly belowIndex: number;
  readonly entries: number;
}

/** What is said before entries are destroyed. The entry that says it is never destroyed itself. */
export function destructionStatement(
  destruction: AuditDestruction,
  by: { readonly actor: string; readonly authority: string; readonly reason: string },
): AuditStatement {
  return {
    operation: 'erasure',
    action: DESTRUCTION_ACTION,
    actor: by.actor,
    role: 'data-protection',
    purpose: by.authority,
    justification: by.reason,
    detail: { ...destruction },
  };
}

/** @returns what the entry says was destroyed; undefined when it is about something else */
export function destructionOf(entry: AuditEntry): AuditDestruction | undefined {
  if (entry.action !== DESTRUCTION_ACTION) return undefined;
  const { destructionId, belowIndex, entries } = entry.detail ?? {};
  return typeof belowIndex === 'number' && typeof destructionId === 'string' && typeof entries === 'number'
    ? { destructionId, belowIndex, entries }
    : undefined;
}
