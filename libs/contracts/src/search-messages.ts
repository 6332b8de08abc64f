/** What case systems send and learn of searches, and the decisions that wait for the owner of a search. */
import { z } from 'zod';
import { JUSTIFICATION_LENGTH_MAX, JUSTIFICATION_LENGTH_MIN } from '#domain/operator-search.js';
import { PROBE_SOURCES, REFERENCE_LENGTH_MAX, RETROSPECTIVE_LIMIT_MAX } from '#domain/retrospective-request.js';
import { ASSERTION_HEADER } from './custody-image.js';
import { assertionSchema, PICTURES } from './custody-messages.js';
import { jsonSchemaOf } from './json-schema.js';
import { eventHeaders, headerText, jsonContent, type Message, type TopicMessages } from './message.js';
import { faceChoiceSchema, galleryFilterSchema, searchIdSchema } from './record-schemas.js';
import { searchEventSchemas } from './search-event-schemas.js';
import {
  SEARCH_COMMAND_TYPE,
  SEARCH_EVENT_TYPE_PREFIX,
  SEARCH_REQUEST_TYPE,
  SEARCH_RETENTION_ENDED_TYPE,
  searchCommandSchema,
} from './search-record.js';
import { IMAGE_SIZE_BYTES_MAX, SEARCHES_COMMANDS, SEARCHES_EVENTS, SEARCHES_REQUESTS } from './topics.js';

const reference = z.string().min(1).max(REFERENCE_LENGTH_MAX);

/** What a request says. The owner reads it field by field, so that its refusal has the code of the rule that is broken. */
const searchRequestSchema = z.object({
  crimeReference: reference,
  offence: reference,
  source: z.enum(PROBE_SOURCES),
  justification: z.string().min(JUSTIFICATION_LENGTH_MIN).max(JUSTIFICATION_LENGTH_MAX).meta({
    description: 'Why the search is necessary, in words that somebody can check later; no label and no form’s text.',
  }),
  investigatingOfficer: reference.meta({ description: 'Who reviews after the operator: another person.' }),
  face: faceChoiceSchema.optional(),
  filter: galleryFilterSchema.optional(),
  limit: z.number().int().min(1).max(RETROSPECTIVE_LIMIT_MAX).optional(),
});

const request: Message = {
  type: SEARCH_REQUEST_TYPE,
  summary: 'Search for the person on this picture, retrospectively. Answered by events of the same searchId.',
  senders: ['case-system', 'custody-query'],
  headers: eventHeaders(SEARCH_REQUEST_TYPE, {
    contentType: headerText.optional(),
    subject: searchIdSchema.optional().meta({ description: 'The searchId, as the key.' }),
    extensions: {
      request: headerText.meta({
        description: 'The request as JSON, in UTF-8.',
        contentMediaType: 'application/json',
        contentSchema: jsonSchemaOf(searchRequestSchema),
      }),
    },
    others: { [ASSERTION_HEADER]: assertionSchema },
  }),
  value: {
    kind: 'bytes',
    contentTypes: PICTURES,
    sizeBytesMax: IMAGE_SIZE_BYTES_MAX,
    description: 'The probe as it was received, in one of these formats.',
  },
};

const SUMMARIES: Readonly<Record<keyof typeof searchEventSchemas, string>> = {
  RECEIVED: 'The request holds, and is a search from now on.',
  FACE_CHOICE_NEEDED: 'The probe shows several faces: the operator says which is meant.',
  FACE_CHOSEN: 'The operator has said which face is meant.',
  SEARCH_STARTED: 'The gallery is searched.',
  SEARCH_RETRIED: 'A search that was partial or failed is tried again.',
  PARTIAL_REVIEW_CHOSEN: 'The operator reviews what a part of the gallery gave.',
  CANDIDATES_FOUND: 'Candidates for a person to review, best first. Never an identification.',
  NO_CANDIDATES_FOUND: 'Nothing in the gallery passes the filter. It does not say that the person is not there.',
  SEARCH_PARTIAL: 'A part of the gallery was not searched; the answer says which.',
  SEARCH_FAILED: 'The search did not run to its end, and why.',
  CANDIDATE_VIEWED: 'Somebody has looked at a candidate.',
  OPERATOR_DECIDED: 'The operator’s decision.',
  REVIEW_REQUESTED: 'A possible match waits for the next person.',
  PEER_REVIEWED: 'The second operator’s decision.',
  OFFICER_DECIDED: 'The investigating officer’s decision.',
  OFFICER_REASSIGNED: 'Another investigating officer reviews.',
  CANDIDATE_WITHDRAWN: 'The image of a candidate was erased, restricted or retired: use it no longer.',
  CLOSED: 'The search is closed.',
  REQUEST_REFUSED: 'The request on searches.requests does not hold, and why; there is no search.',
  OPERATOR_SEARCH_ANSWERED: 'An officer’s search was answered.',
  OPERATOR_OUTCOME_RECORDED: 'The officer has recorded what came of the search.',
};

const events = Object.entries(searchEventSchemas).map(([name, schema]): Message => {
  const type = SEARCH_EVENT_TYPE_PREFIX + name;
  return {
    type,
    summary: SUMMARIES[name as keyof typeof searchEventSchemas],
    senders: ['custody-query'],
    headers: eventHeaders(type, { contentType: jsonContent, subject: searchIdSchema }),
    value: { kind: 'json', schema },
  };
});

const retentionEnded: Message = {
  type: SEARCH_RETENTION_ENDED_TYPE,
  summary: 'The search is forgotten: whoever holds an event of this key deletes it, and all it has of the search.',
  senders: ['custody-query'],
  headers: eventHeaders(SEARCH_RETENTION_ENDED_TYPE, { subject: searchIdSchema }),
  value: { kind: 'none' },
};

export const SEARCH_MESSAGES: readonly TopicMessages[] = [
  {
    topic: SEARCHES_REQUESTS,
    summary: 'Retrospective searches that systems ask for. Officers’ searches are HTTP only: their probe is in no log.',
    partitioning: 'key',
    key: searchIdSchema.meta({ description: 'The searchId: a UUID in lower case that the asking system makes.' }),
    messages: [request],
  },
  {
    topic: SEARCHES_EVENTS,
    summary: 'What happened to each search: accepted facts, in the order of their versions.',
    partitioning: 'searchId',
    key: headerText.meta({
      description: '<searchId>/<version>/<unique>, or <searchId>/refused-<offset>. Partitioned by the searchId.',
    }),
    messages: [...events, retentionEnded],
  },
  {
    topic: SEARCHES_COMMANDS,
    summary: 'Decisions that somebody wants to make; the owner of the search accepts them, or says why not.',
    partitioning: 'searchId',
    key: searchIdSchema.meta({ description: 'The searchId.' }),
    messages: [
      {
        type: SEARCH_COMMAND_TYPE,
        summary: 'A decision on a search.',
        senders: ['custody-query'],
        headers: eventHeaders(SEARCH_COMMAND_TYPE, { contentType: jsonContent, subject: searchIdSchema }),
        value: { kind: 'json', schema: searchCommandSchema },
      },
    ],
  },
];
