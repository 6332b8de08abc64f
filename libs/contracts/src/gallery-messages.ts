/** What this system says to itself about templates: nobody outside reads or writes these topics. */
import { z } from 'zod';
import { marker } from './custody-messages.js';
import { GALLERY_QUERY_TYPE, GALLERY_REPLY_TYPE, galleryReplySchema, K_MAX } from './gallery-query.js';
import { GAP_TYPE, gapSchema } from './gap-record.js';
import {
  bytesContent,
  eventHeaders,
  headerNumber,
  headerText,
  jsonContent,
  type Message,
  type TopicMessages,
} from './message.js';
import { ageBandSchema, imageIdSchema, modelIdSchema, sexSchema, subjectIdSchema } from './record-schemas.js';
import { REPLICA_REPORT_TYPE, replicaReportSchema } from './replica-report.js';
import { TEXT_LENGTH_MAX } from './custody-image.js';
import { TEMPLATE_TOMBSTONE_TYPE, TEMPLATE_TYPE, TEMPLATE_UNUSABLE_TYPE } from './template-record.js';
import { GALLERY_GAPS, GALLERY_QUERIES, GALLERY_REPLICAS, GALLERY_REPLIES } from './topics.js';

const kept = z.string().max(TEXT_LENGTH_MAX).optional();
/** Of the largest embedder that the exact engine takes: 1024 float32. */
const TEMPLATE_SIZE_BYTES_MAX = 4096;
const number = z.string().regex(/^-?\d+(\.\d+)?(e[+-]?\d+)?$/);

const TEMPLATE_BYTES = {
  kind: 'bytes',
  contentTypes: ['application/octet-stream'],
  sizeBytesMax: TEMPLATE_SIZE_BYTES_MAX,
} as const;

const template: Message = {
  type: TEMPLATE_TYPE,
  summary: 'The template of an enrolled image, with what a candidate shows of it.',
  senders: ['custody-ingest', 'custody-generation', 'custody-index'],
  headers: eventHeaders(TEMPLATE_TYPE, {
    contentType: bytesContent,
    subject: imageIdSchema,
    extensions: {
      modelid: modelIdSchema,
      subjectid: subjectIdSchema,
      force: kept,
      custodyref: kept,
      capturedat: kept,
      sex: sexSchema.optional(),
      ageband: ageBandSchema.optional(),
      facebox: z
        .string()
        .regex(/^-?\d+(,-?\d+){3}$/)
        .optional()
        .meta({ description: 'left,top,right,bottom in pixels of the upright picture.' }),
      norm: number.optional().meta({ description: 'L2 norm of the embedding before normalising.' }),
      sourceoffset: headerNumber.meta({ description: 'The custody.images record that it came from. Inclusive.' }),
      acceptedat: headerNumber.meta({ description: 'When the broker took that record, milliseconds since 1970.' }),
      lawfulbasis: headerText.optional(),
      reviewdue: headerText.optional(),
      face: z
        .string()
        .regex(/^\d{1,3}$/)
        .optional(),
      photographfrom: headerNumber.optional(),
    },
  }),
  value: { ...TEMPLATE_BYTES, description: 'float32, little-endian, L2 norm 1.' },
};

const tombstone: Message = {
  type: TEMPLATE_TOMBSTONE_TYPE,
  summary: 'The template is gone: the image was erased, or a later photograph of it has none.',
  senders: ['custody-ingest', 'custody-query', 'custody-index', 'custody-generation'],
  headers: eventHeaders(TEMPLATE_TOMBSTONE_TYPE, {
    subject: imageIdSchema,
    extensions: {
      sourceoffset: headerNumber.optional().meta({
        description:
          'The custody.images record of the later photograph; what came from there or before goes. Inclusive.',
      }),
    },
  }),
  value: { kind: 'none' },
};

const unusable: Message = {
  type: TEMPLATE_UNUSABLE_TYPE,
  summary: 'Stands for a template that could not be used, so that nobody takes the image for one that was never there.',
  senders: ['custody-index', 'custody-generation'],
  headers: eventHeaders(TEMPLATE_UNUSABLE_TYPE, {
    subject: imageIdSchema,
    extensions: { sourceoffset: headerNumber.optional(), recordedat: headerNumber },
  }),
  value: { kind: 'none' },
};

const query: Message = {
  type: GALLERY_QUERY_TYPE,
  summary: 'Which templates are most like this probe? Each index process answers for its partitions.',
  senders: ['custody-query'],
  headers: eventHeaders(GALLERY_QUERY_TYPE, {
    contentType: bytesContent,
    subject: headerText.meta({ description: 'The queryId, which the replies name.' }),
    extensions: {
      modelid: modelIdSchema,
      k: headerNumber.meta({ description: `Subjects wanted, at most ${K_MAX}; 0 asks for the coverage alone.` }),
      mode: z.enum(['exact', 'approximate', 'auto']),
      filter: headerText.optional().meta({ description: 'JSON.' }),
      deadline: number.meta({ description: 'Milliseconds since 1970; nobody answers later.' }),
      replypartition: headerNumber.meta({ description: 'The partition of gallery.replies that the asker reads.' }),
    },
  }),
  value: { ...TEMPLATE_BYTES, description: 'The probe’s template: float32, little-endian, L2 norm 1.' },
  nullMeans: 'Coverage alone is asked for.',
};

export const GALLERY_MESSAGES: readonly TopicMessages[] = [
  {
    topic: 'gallery.templates.{modelId}.v1',
    summary: 'The gallery of one model.',
    partitioning: 'key',
    key: imageIdSchema.meta({ description: 'The imageId.' }),
    messages: [template, tombstone, unusable, marker],
  },
  {
    topic: GALLERY_QUERIES,
    summary: 'Probes, for about a minute.',
    partitioning: 'single',
    key: undefined,
    messages: [query],
  },
  {
    topic: GALLERY_REPLIES,
    summary: 'Candidates and how far was searched, for about a minute.',
    partitioning: 'asked',
    key: undefined,
    messages: [
      {
        type: GALLERY_REPLY_TYPE,
        summary: 'What one worker of an index process has found in its partitions.',
        senders: ['custody-index'],
        headers: eventHeaders(GALLERY_REPLY_TYPE, { contentType: jsonContent }),
        value: { kind: 'json', schema: galleryReplySchema },
      },
    ],
  },
  {
    topic: GALLERY_REPLICAS,
    summary: 'What each index process holds, and how far it has destroyed what was erased.',
    partitioning: 'single',
    key: headerText.meta({ description: 'Model, shard and replica.' }),
    messages: [
      {
        type: REPLICA_REPORT_TYPE,
        summary: 'The report of a replica, every few seconds.',
        senders: ['custody-index'],
        headers: eventHeaders(REPLICA_REPORT_TYPE, { contentType: jsonContent }),
        value: { kind: 'json', schema: replicaReportSchema },
        nullMeans: 'The replica is retired: its memory has ended and its snapshots were deleted.',
      },
    ],
  },
  {
    topic: GALLERY_GAPS,
    summary: 'The images that the gallery of a model lacks, and why.',
    partitioning: 'single',
    key: z
      .string()
      .regex(/^[0-9a-f]{16}\/[\x21-\x7e]{1,128}$/)
      .meta({ description: '<modelId>/<imageId>' }),
    messages: [
      {
        type: GAP_TYPE,
        summary: 'The gallery lacks this image.',
        senders: ['custody-generation', 'custody-query'],
        headers: eventHeaders(GAP_TYPE, { contentType: jsonContent }),
        value: { kind: 'json', schema: gapSchema },
        nullMeans: 'It lacks the image no longer.',
      },
    ],
  },
];
