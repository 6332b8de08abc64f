/** What may be asked of the audit over HTTP. */
import { z } from 'zod';
import { Refusal } from '#domain/errors.js';
import { AUDIT_OPERATIONS } from './audit-record.js';
import { dateOrInstantSchema } from './record-schemas.js';
import { parse } from './search-forms.js';

const LIST_LIMIT_MAX = 500;
const LIST_LIMIT = 100;
const WHOLE_NUMBER = /^\d{1,15}$/;

const id = z.string().min(1).max(255);
/** In digits: coercion alone takes a blank for 0. */
const size = z.string().regex(WHOLE_NUMBER, 'must be a whole number').transform(Number);

export const auditListSchema = z.strictObject({
  from: dateOrInstantSchema.optional().describe('Logged then or later'),
  to: dateOrInstantSchema.optional().describe('Logged before then'),
  actor: id.optional(),
  operation: z.enum(AUDIT_OPERATIONS).optional(),
  action: id.optional(),
  searchId: id.optional(),
  subjectId: id.optional(),
  imageId: id.optional(),
  cursor: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(LIST_LIMIT_MAX).default(LIST_LIMIT),
});

export const checkpointQuerySchema = z.strictObject({
  size: size.optional().describe('Of an earlier checkpoint; without it, the last one'),
});

export const proofQuerySchema = z.strictObject({
  eventId: id.optional().describe('Inclusion: of which entry'),
  index: size.optional().describe('Inclusion: of which leaf'),
  size: size.optional().describe('Inclusion: in the tree of which checkpoint; without it, the last one'),
  from: size.optional().describe('Consistency: the size of the earlier checkpoint'),
  to: size.optional().describe('Consistency: the size of the later one; without it, the last one'),
});

export const destructionFormSchema = z.strictObject({
  before: dateOrInstantSchema.describe('Entries that were logged before then'),
  /** What permits or demands it, for example the force's retention schedule. */
  authority: z.string().trim().min(3).max(200),
  reason: z.string().trim().min(10).max(2000),
});

export interface AuditFilter {
  /** When the leaf was logged, inclusive, milliseconds since 1970. */
  readonly fromMs?: number | undefined;
  /** Exclusive. */
  readonly toMs?: number | undefined;
  readonly actor?: string | undefined;
  readonly operation?: string | undefined;
  readonly action?: string | undefined;
  readonly searchId?: string | undefined;
  readonly subjectId?: string | undefined;
  readonly imageId?: string | undefined;
}

export interface AuditQuery {
  /** As it was asked, for the audit of the question. */
  readonly asked: Readonly<Record<string, string>>;
  readonly filter: AuditFilter;
  /** Leaves below it, exclusive; undefined for the newest. */
  readonly belowIndex: number | undefined;
  readonly limit: number;
}

export type ProofQuery =
  | {
      readonly kind: 'inclusion';
      readonly entry: { readonly eventId: string } | { readonly index: number };
      readonly size: number | undefined;
    }
  | { readonly kind: 'consistency'; readonly from: number; readonly to: number | undefined };

export interface DestructionRequest {
  readonly beforeMs: number;
  readonly authority: string;
  readonly reason: string;
}

/** @throws Refusal BAD_REQUEST naming the field, BAD_CURSOR */
export function parseAuditQuery(query: unknown): AuditQuery {
  const { cursor, limit, from, to, ...filter } = parse(auditListSchema, query);
  if (cursor !== undefined && !WHOLE_NUMBER.test(cursor)) {
    throw new Refusal('BAD_CURSOR', 'cursor is the nextCursor of the page before.');
  }
  const asked = Object.entries({ from, to, ...filter }).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  );
  return {
    asked: Object.fromEntries(asked),
    filter: { ...filter, fromMs: instantMs(from), toMs: instantMs(to) },
    belowIndex: cursor === undefined ? undefined : Number(cursor),
    limit,
  };
}

/** @returns the size asked for @throws Refusal BAD_REQUEST */
export function parseCheckpointQuery(query: unknown): number | undefined {
  return parse(checkpointQuerySchema, query).size;
}

/** @throws Refusal BAD_REQUEST */
export function parseProofQuery(query: unknown): ProofQuery {
  const { eventId, index, size: inSize, from, to } = parse(proofQuerySchema, query);
  const wanted = [eventId, index, from].filter((value) => value !== undefined);
  if (wanted.length !== 1) {
    throw new Refusal('BAD_REQUEST', 'Ask for the inclusion of one eventId or index, or for consistency from a size.');
  }
  if (from !== undefined) return { kind: 'consistency', from, to };
  return { kind: 'inclusion', entry: eventId !== undefined ? { eventId } : { index: index! }, size: inSize };
}

/** @throws Refusal BAD_REQUEST */
export function parseDestructionForm(body: unknown): DestructionRequest {
  const { before, authority, reason } = parse(destructionFormSchema, body);
  return { beforeMs: Date.parse(before), authority, reason };
}

function instantMs(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text);
}
