/** What custody systems send and learn, and what this system says to itself about custody images. */
import { z } from 'zod';
import { ASSERTION_HEADER, CUSTODY_ERASURE_TYPE, CUSTODY_IMAGE_TYPE, TEXT_LENGTH_MAX } from './custody-image.js';
import { CUSTODY_REPLAY_TYPE, custodyReplaySchema } from './custody-replay.js';
import { DIRECTION_TYPE, directionSchema } from './direction-record.js';
import { DISPOSITION_TYPE, dispositionSchema } from './disposition-record.js';
import { LOG_MARKER_KEY, LOG_MARKER_TYPE } from './log-marker.js';
import { eventHeaders, headerNumber, headerText, jsonContent, type Message, type TopicMessages } from './message.js';
import { OUTCOME_TYPE, outcomeSchema } from './outcome-record.js';
import { ageBandSchema, dateOrInstantSchema, imageIdSchema, sexSchema, subjectIdSchema } from './record-schemas.js';
import {
  CUSTODY_DIRECTIONS,
  CUSTODY_DISPOSITIONS,
  CUSTODY_IMAGES,
  CUSTODY_OUTCOMES,
  IMAGE_SIZE_BYTES_MAX,
} from './topics.js';

const typed = z.string().min(1).max(TEXT_LENGTH_MAX).optional();
/** The pictures that are decoded here. What the bytes are is seen from the bytes, not from what is said of them. */
export const PICTURES = ['image/jpeg', 'image/png', 'image/webp', 'image/tiff', 'image/gif', 'image/avif'];
/** A compact JWS: three parts in base64url. */
export const assertionSchema = z
  .string()
  .regex(/^[\w-]+\.[\w-]+\.[\w-]+$/)
  .meta({ description: 'A compact JWS, signed by the system that sends it; see docs/ARCHITECTURE.md, Identity.' });
/** Of a face in the picture: the index of a box that a refusal named, or a rule. */
export const faceHeaderSchema = z.string().regex(/^(largest|central|\d{1,3})$/);

const image: Message = {
  type: CUSTODY_IMAGE_TYPE,
  summary: 'Enrol this photograph, in place of an earlier one of the same imageId.',
  senders: ['custody-system', 'custody-ingest', 'custody-query', 'custody-cli'],
  headers: eventHeaders(CUSTODY_IMAGE_TYPE, {
    contentType: headerText.optional(),
    source: z.string().min(1).max(TEXT_LENGTH_MAX).meta({ description: 'Which system sends it; the audit names it.' }),
    subject: imageIdSchema.optional().meta({ description: 'The imageId, as the key.' }),
    extensions: {
      subjectid: subjectIdSchema.meta({ description: 'Whom the custody record is about.' }),
      force: typed,
      custodyref: typed,
      capturedat: dateOrInstantSchema.optional(),
      lawfulbasis: typed,
      reviewdue: dateOrInstantSchema.optional(),
      sex: sexSchema.optional(),
      ageband: ageBandSchema.optional(),
      face: faceHeaderSchema.optional().meta({
        description: 'Which face is meant: an index from the outcome MULTIPLE_FACES, or largest, or central.',
      }),
      correctionof: headerNumber.optional().meta({ description: 'Set by this system alone.' }),
      photographfrom: headerNumber.optional().meta({ description: 'Set by this system alone.' }),
    },
  }),
  value: {
    kind: 'bytes',
    contentTypes: PICTURES,
    sizeBytesMax: IMAGE_SIZE_BYTES_MAX,
    description: 'The photograph as it was taken, in one of these formats.',
  },
};

const erasure: Message = {
  type: CUSTODY_ERASURE_TYPE,
  summary: 'Erase everything of this imageId that came before. The value is null.',
  senders: ['custody-system', 'custody-query'],
  headers: eventHeaders(CUSTODY_ERASURE_TYPE, {
    subject: imageIdSchema.optional().meta({ description: 'The imageId, as the key.' }),
    others: { [ASSERTION_HEADER]: assertionSchema },
  }),
  value: { kind: 'none' },
};

const replay: Message = {
  type: CUSTODY_REPLAY_TYPE,
  summary:
    'Handle an image again that was put aside. It names the record, in the same partition, and holds nothing of it.',
  senders: ['custody-cli'],
  key: z.string().regex(/^replay \d{1,15}$/),
  headers: eventHeaders(CUSTODY_REPLAY_TYPE, { contentType: jsonContent, subject: imageIdSchema }),
  value: { kind: 'json', schema: custodyReplaySchema },
};

/** Of the topics that are compacted on demand. */
export const marker: Message = {
  type: LOG_MARKER_TYPE,
  summary: 'Says nothing, and makes Kafka compact what is before it. Readers pass it by: its key has a blank.',
  senders: ['custody-query'],
  key: z.literal(LOG_MARKER_KEY),
  headers: eventHeaders(LOG_MARKER_TYPE, { subject: z.literal(LOG_MARKER_KEY) }),
  value: { kind: 'none' },
};

const keyedByImage = { partitioning: 'key', key: imageIdSchema.meta({ description: 'The imageId.' }) } as const;

export const CUSTODY_MESSAGES: readonly TopicMessages[] = [
  {
    topic: CUSTODY_IMAGES,
    summary: 'Custody photographs to enrol and to erase, in the order that counts.',
    ...keyedByImage,
    messages: [image, erasure, replay, marker],
  },
  {
    topic: CUSTODY_OUTCOMES,
    summary: 'What became of each record on custody.images, by its partition and offset.',
    ...keyedByImage,
    messages: [
      {
        type: OUTCOME_TYPE,
        summary: 'Enrolled, refused with a code, failed, superseded, erased, or restricted instead of erased.',
        senders: ['custody-ingest'],
        headers: eventHeaders(OUTCOME_TYPE, { contentType: jsonContent, subject: imageIdSchema }),
        value: { kind: 'json', schema: outcomeSchema },
      },
    ],
  },
  {
    topic: CUSTODY_DISPOSITIONS,
    summary: 'What may not be searched, and what is erased for ever.',
    ...keyedByImage,
    messages: [
      {
        type: DISPOSITION_TYPE,
        summary: 'An image is restricted, retired or erased.',
        senders: ['custody-ingest', 'custody-query'],
        headers: eventHeaders(DISPOSITION_TYPE, {
          contentType: jsonContent,
          subject: imageIdSchema,
          extensions: { system: headerText.optional().meta({ description: 'Which system has signed the erasure.' }) },
        }),
        value: { kind: 'json', schema: dispositionSchema },
        nullMeans: 'The image is active again; what an erasure has bounded stays erased.',
      },
    ],
  },
  {
    topic: CUSTODY_DIRECTIONS,
    summary: 'Restrictions, retirements, holds, erasures with their receipts, outcomes of cases, reviews.',
    partitioning: 'single',
    key: headerText.meta({ description: 'The directionId.' }),
    messages: [
      {
        type: DIRECTION_TYPE,
        summary: 'A direction is in force, in place of an earlier one of the same id.',
        senders: ['custody-ingest', 'custody-query'],
        headers: eventHeaders(DIRECTION_TYPE, { contentType: jsonContent }),
        value: { kind: 'json', schema: directionSchema },
        nullMeans: 'The direction has ended.',
      },
    ],
  },
];
