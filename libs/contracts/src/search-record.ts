/**
 * `searches.requests.v1` (a retrospective request with its probe), `searches.commands.v1` (a decision somebody wants to
 * make) and `searches.events.v1` (what happened, accepted only).
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { ROLES } from '#domain/identity.js';
import type { Offset, SearchId } from '#domain/ids.js';
import type { OperatorSearchEvent } from '#domain/operator-search.js';
import type { CommandActor, RetrospectiveCommand } from '#domain/retrospective-commands.js';
import {
  OFFICER_OUTCOMES,
  OPERATOR_OUTCOMES,
  PEER_OUTCOMES,
  type RetrospectiveEvent,
} from '#domain/retrospective-events.js';
import type { RetrospectiveSearchRequest } from '#domain/retrospective-request.js';
import { ASSERTION_HEADER } from './custody-image.js';
import { cloudEventHeaders, expectCloudEvent, JSON_CONTENT, requiredExtension, type Headers } from './cloud-events.js';
import { encodeJsonValue, parseJsonValue, parseWholeJsonValue } from './json-value.js';
import { partitionFor } from './murmur2.js';
import type { OutgoingRecord } from './outgoing-record.js';
import { faceChoiceSchema, galleryFilterSchema, imageIdSchema, searchIdSchema } from './record-schemas.js';
import { searchEventSchema } from './search-event-schemas.js';
import { SEARCH_PARTITIONS, SEARCHES_COMMANDS, SEARCHES_EVENTS } from './topics.js';

export const SEARCH_REQUEST_TYPE = 'searches.request.v1';
export const SEARCH_COMMAND_TYPE = 'searches.command.v1';
export const SEARCH_EVENT_TYPE_PREFIX = 'searches.event.v1.';
export const SEARCH_RETENTION_ENDED_TYPE = 'searches.retention-ended.v1';

/** What a request says in its `ce_request` header; the value is the probe's bytes. Parsed by the domain's rules afterwards. */
export const requestFieldsSchema = z.object({
  crimeReference: z.string().optional(),
  offence: z.string().optional(),
  source: z.string().optional(),
  justification: z.string().optional(),
  investigatingOfficer: z.string().optional(),
  face: faceChoiceSchema.optional(),
  filter: galleryFilterSchema.optional(),
  limit: z.number().int().optional(),
});
export type RetrospectiveRequestFields = z.infer<typeof requestFieldsSchema>;

/** @param assertion a compact JWS over this searchId, the probe's SHA-256 and the operator (see docs/ARCHITECTURE.md) */
export function searchRequestHeaders(
  id: SearchId,
  request: RetrospectiveSearchRequest | RetrospectiveRequestFields,
  contentType: string,
  assertion: string,
  source: string,
): Headers {
  return {
    ...cloudEventHeaders({
      type: SEARCH_REQUEST_TYPE,
      source,
      subject: id,
      contentType,
      extensions: { request: JSON.stringify(request) },
    }),
    [ASSERTION_HEADER]: assertion,
  };
}

/** @throws Refusal HEADER_MISSING, HEADER_UNKNOWN, RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseSearchRequestFields(headers: Headers): RetrospectiveRequestFields {
  expectCloudEvent(headers, SEARCH_REQUEST_TYPE);
  return parseJsonValue(requestFieldsSchema, Buffer.from(requiredExtension(headers, 'request')));
}

/** A decision that somebody wants to make. The owner of the search's partition accepts it or says why not. */
export type SearchCommand = RetrospectiveCommand & {
  readonly searchId: SearchId;
  readonly by: string;
  /** Of `by`, as the replica that took the request has verified them. */
  readonly roles: CommandActor['roles'];
  /** SHA-256 of what was asked for: tells a repetition from another command under the same id. */
  readonly digest?: string | undefined;
};

const commandBase = {
  commandId: z.guid(),
  searchId: searchIdSchema,
  by: z.string().min(1).max(255),
  roles: z.array(z.enum([...ROLES, 'system'])),
  digest: z.string().max(64).optional(),
};
const onAVersion = { ...commandBase, expectedVersion: z.number().int().positive() };
const inAnyOrder = { ...commandBase, expectedVersion: z.never().optional() };
const rank = z.number().int().positive();
const words = z.string().optional();

export const searchCommandSchema = z.discriminatedUnion('type', [
  z.object({ ...onAVersion, type: z.literal('CHOOSE_FACE'), face: z.number().int().nonnegative() }),
  z.object({ ...inAnyOrder, type: z.literal('VIEW_CANDIDATE'), rank }),
  z.object({
    ...onAVersion,
    type: z.literal('OPERATOR_DECISION'),
    outcome: z.enum(OPERATOR_OUTCOMES),
    rank: rank.optional(),
    features: words,
    notes: words,
  }),
  z.object({
    ...onAVersion,
    type: z.literal('PEER_REVIEW'),
    outcome: z.enum(PEER_OUTCOMES),
    rank: rank.optional(),
    notes: words,
  }),
  z.object({
    ...onAVersion,
    type: z.literal('OFFICER_DECISION'),
    outcome: z.enum(OFFICER_OUTCOMES),
    rank: rank.optional(),
    corroboration: words,
    notes: words,
  }),
  z.object({ ...onAVersion, type: z.literal('REASSIGN'), investigatingOfficer: z.string(), notes: words }),
  z.object({ ...onAVersion, type: z.enum(['RETRY', 'REVIEW_PARTIAL']) }),
  z.object({ ...onAVersion, type: z.literal('CLOSE'), notes: words }),
  z.object({
    ...inAnyOrder,
    type: z.literal('WITHDRAW_CANDIDATE'),
    imageId: imageIdSchema,
    reason: z.enum(['restricted', 'retired', 'erased']),
  }),
]);

/** The record of a command, on the partition of its search. @param source which service says so */
export function searchCommandRecord(command: SearchCommand, source: string): OutgoingRecord {
  const { searchId } = command;
  return {
    topic: SEARCHES_COMMANDS,
    key: searchId,
    partition: partitionFor(Buffer.from(searchId), SEARCH_PARTITIONS),
    value: encodeJsonValue(searchCommandSchema, command as z.input<typeof searchCommandSchema>),
    headers: cloudEventHeaders({ type: SEARCH_COMMAND_TYPE, source, subject: searchId, contentType: JSON_CONTENT }),
  };
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseSearchCommand(value: Buffer | null): SearchCommand {
  return parseJsonValue(searchCommandSchema, value);
}

/** Answers a request on the topic that never became a search: its rules or its assertion do not hold. */
export interface RequestRefusedEvent {
  readonly type: 'REQUEST_REFUSED';
  readonly searchId: SearchId;
  readonly version: 1;
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
  readonly code: string;
  readonly detail: string;
  /** The request's record. Inclusive. */
  readonly source: { readonly partition: number; readonly offset: Offset };
}

export type SearchEvent = RetrospectiveEvent | OperatorSearchEvent | RequestRefusedEvent;

/**
 * Unique for each record, and beginning with `searchId/version`: compaction keeps the last record of a key, so with the
 * version alone a late event of an owner that no longer is one would displace the accepted one, which came first.
 */
export function searchEventKey(event: SearchEvent): string {
  // A refused request has no version of the search to take.
  if (event.type === 'REQUEST_REFUSED') return `${event.searchId}/refused-${event.source.offset}`;
  return `${event.searchId}/${event.version}/${randomUUID()}`;
}

export function searchEventHeaders(event: SearchEvent, source: string): Headers {
  return cloudEventHeaders({
    type: SEARCH_EVENT_TYPE_PREFIX + event.type,
    source,
    subject: event.searchId,
    contentType: JSON_CONTENT,
  });
}

/** On the partition of the search, with its other events. @param source which service says so */
export function searchEventRecord(event: SearchEvent, source: string): OutgoingRecord {
  return {
    topic: SEARCHES_EVENTS,
    key: searchEventKey(event),
    partition: partitionFor(event.searchId, SEARCH_PARTITIONS),
    value: encodeJsonValue(searchEventSchema, event),
    headers: searchEventHeaders(event, source),
  };
}

/**
 * The record that destroys an event at the end of its search's retention.
 *
 * @param key of the event @param source which service says so
 */
export function searchEventEnd(id: SearchId, key: string, source: string): OutgoingRecord {
  return {
    topic: SEARCHES_EVENTS,
    key,
    partition: partitionFor(id, SEARCH_PARTITIONS),
    value: null,
    headers: cloudEventHeaders({ type: SEARCH_RETENTION_ENDED_TYPE, source, subject: id }),
  };
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseSearchEvent(value: Buffer): SearchEvent {
  return parseWholeJsonValue(searchEventSchema, value);
}
