/**
 * `searches.requests.v1` (a retrospective request with its probe), `searches.commands.v1` (a decision somebody wants to
 * make) and `searches.events.v1` (what happened, accepted only).
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { FaceChoice } from '#domain/face.js';
import type { Offset, SearchId } from '#domain/ids.js';
import type { OperatorSearchEvent } from '#domain/operator-search.js';
import { type RetrospectiveEvent, type RetrospectiveSearchRequest } from '#domain/retrospective-search.js';
import { ASSERTION_HEADER } from './custody-image.js';
import { cloudEventHeaders, JSON_CONTENT, requiredExtension, type Headers } from './cloud-events.js';
import { parseJsonValue } from './json-value.js';
import { faceChoiceSchema, galleryFilterSchema, searchIdSchema } from './record-schemas.js';

export const SEARCH_REQUEST_TYPE = 'searches.request.v1';
export const SEARCH_COMMAND_TYPE = 'searches.command.v1';
export const SEARCH_EVENT_TYPE_PREFIX = 'searches.event.v1.';

/** What a request says in its `ce_request` header; the value is the probe's bytes. Parsed by the domain's rules afterwards. */
const requestFieldsSchema = z.object({
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

/** @throws Refusal HEADER_MISSING, RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseSearchRequestFields(headers: Headers): RetrospectiveRequestFields {
  return parseJsonValue(requestFieldsSchema, Buffer.from(requiredExtension(headers, 'request')));
}

/** A decision that a person wants to make. The owner of the search's partition accepts it or says why not. */
export interface ChooseFaceCommand {
  readonly commandId: string;
  readonly searchId: SearchId;
  readonly type: 'CHOOSE_FACE';
  readonly face: FaceChoice;
  readonly expectedVersion: number;
  readonly by: string;
}
export type SearchCommand = ChooseFaceCommand;

const commandSchema = z.object({
  commandId: z.uuid(),
  searchId: searchIdSchema,
  type: z.literal('CHOOSE_FACE'),
  face: faceChoiceSchema,
  expectedVersion: z.number().int().positive(),
  by: z.string(),
});

export function searchCommandHeaders(command: SearchCommand, source: string): Headers {
  return cloudEventHeaders({ type: SEARCH_COMMAND_TYPE, source, subject: command.searchId, contentType: JSON_CONTENT });
}

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseSearchCommand(value: Buffer | null): SearchCommand {
  return parseJsonValue(commandSchema, value);
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

/** Ours to write and ours to read: the envelope is checked, the body is what this version of the code wrote. */
const eventEnvelopeSchema = z.looseObject({
  searchId: searchIdSchema,
  version: z.number().int().positive(),
  at: z.string(),
  by: z.string(),
  type: z.string(),
});

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

/** @throws Refusal RECORD_NOT_JSON, RECORD_SCHEMA */
export function parseSearchEvent(value: Buffer): SearchEvent {
  return parseJsonValue(eventEnvelopeSchema, value) as unknown as SearchEvent;
}
