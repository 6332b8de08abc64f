/** Decisions about searching as such, the audit and dead letters. */
import { z } from 'zod';
import { AUDIT_ENTRY_DESTROYED_TYPE, AUDIT_ENTRY_TYPE, AUDIT_LEAF_BYTES, auditEntrySchema } from './audit-record.js';
import { AUDIT_CHECKPOINT_TYPE, AUDIT_SEALED_LEAVES_TYPE, sealedLeavesSchema } from './audit-seal-record.js';
import { DEAD_LETTER_TYPE, deadLetterSchema } from './dead-letter-record.js';
import { DEAD_LETTER_REPLAY_TYPE, deadLetterReplaySchema } from './dead-letter-replay.js';
import { GOVERNANCE_DECISION_TYPE_PREFIX, governanceDecisionSchema } from './governance-record.js';
import { principalsWith, type Principal } from './access.js';
import { eventHeaders, headerText, jsonContent, type Message, type TopicMessages } from './message.js';
import {
  AUDIT_CHECKPOINTS,
  AUDIT_ENTRIES,
  AUDIT_LOG,
  CUSTODY_IMAGES,
  deadLetters,
  GOVERNANCE_DECISIONS,
  SEARCHES_COMMANDS,
  SEARCHES_REQUESTS,
} from './topics.js';

/** Everybody who does something that is put on record. */
const AUDITORS: readonly Principal[] = ['custody-ingest', 'custody-generation', 'custody-query', 'custody-cli'];
const SEAL_SIZE_BYTES_MAX = 1024 * 1024;

const decisions = governanceDecisionSchema.options.map((schema): Message => {
  const type = GOVERNANCE_DECISION_TYPE_PREFIX + schema.shape.type.value;
  return {
    type,
    summary: `A person, or the deployment, has decided: ${schema.shape.type.value}.`,
    senders: ['custody-query'],
    headers: eventHeaders(type, { contentType: jsonContent }),
    value: { kind: 'json', schema },
  };
});

const deadLetterReplay: Message = {
  type: DEAD_LETTER_REPLAY_TYPE,
  summary: 'Somebody has sent the source again.',
  senders: ['custody-cli'],
  headers: eventHeaders(DEAD_LETTER_REPLAY_TYPE, { contentType: jsonContent }),
  value: { kind: 'json', schema: deadLetterReplaySchema },
};

const deadLetter = (topic: string, key: string, senders: readonly Principal[]): TopicMessages => ({
  topic: deadLetters(topic),
  summary: `What of ${topic} could not be handled: a reference and the cause, never the value.`,
  partitioning: 'single',
  key: z.string().meta({ description: `${key}, as the source has it; of a long one its beginning.` }),
  messages: [
    {
      type: DEAD_LETTER_TYPE,
      summary: 'A record could not be handled.',
      senders,
      headers: eventHeaders(DEAD_LETTER_TYPE, { contentType: jsonContent }),
      value: { kind: 'json', schema: deadLetterSchema },
    },
    // A template is not sent again, nor a request whose assertion is too old: whoever may not say so has not done it.
    ...(principalsWith('write', deadLetters(topic)).includes('custody-cli') ? [deadLetterReplay] : []),
  ],
});

export const AUDIT_MESSAGES: readonly TopicMessages[] = [
  {
    topic: GOVERNANCE_DECISIONS,
    summary: 'Suspensions, thresholds, model overrides and switches of gallery, in the order that counts.',
    partitioning: 'single',
    key: headerText.meta({ description: 'The decisionId.' }),
    messages: decisions,
  },
  {
    topic: AUDIT_ENTRIES,
    summary: 'Who did what to whose data, and why.',
    partitioning: 'key',
    key: headerText.meta({ description: 'The eventId.' }),
    messages: [
      {
        type: AUDIT_ENTRY_TYPE,
        summary: 'An entry. Its bytes as they are stored are what the log holds the hash of.',
        senders: AUDITORS,
        headers: eventHeaders(AUDIT_ENTRY_TYPE, { contentType: jsonContent }),
        value: { kind: 'json', schema: auditEntrySchema },
      },
      {
        type: AUDIT_ENTRY_DESTROYED_TYPE,
        summary: 'The entry’s retention has ended; its hash stays in the log.',
        senders: ['custody-query'],
        headers: eventHeaders(AUDIT_ENTRY_DESTROYED_TYPE),
        value: { kind: 'none' },
      },
    ],
  },
  {
    topic: AUDIT_LOG,
    summary: 'The salted hash of each entry, in order, for ever.',
    partitioning: 'single',
    key: undefined,
    messages: [
      {
        type: 'audit.leaf.v1',
        summary: 'No CloudEvent: 32 bytes that are kept for ever carry one header.',
        senders: AUDITORS,
        headers: z.looseObject({ ce_id: headerText.meta({ description: 'The eventId of the entry.' }) }),
        value: {
          kind: 'bytes',
          contentTypes: ['application/octet-stream'],
          sizeBytesMax: AUDIT_LEAF_BYTES,
          description: 'SHA-256 of the entry’s bytes, which hold its salt.',
        },
      },
    ],
  },
  {
    topic: AUDIT_CHECKPOINTS,
    summary: 'What seals the audit log, for ever.',
    partitioning: 'single',
    key: undefined,
    messages: [
      {
        type: AUDIT_SEALED_LEAVES_TYPE,
        summary: 'The leaves that the checkpoint behind it seals.',
        senders: ['custody-query'],
        headers: eventHeaders(AUDIT_SEALED_LEAVES_TYPE, { contentType: jsonContent }),
        value: { kind: 'json', schema: sealedLeavesSchema },
      },
      {
        type: AUDIT_CHECKPOINT_TYPE,
        summary: 'A signed checkpoint (C2SP tlog-checkpoint).',
        senders: ['custody-query'],
        headers: eventHeaders(AUDIT_CHECKPOINT_TYPE, { contentType: z.literal('text/plain') }),
        value: {
          kind: 'bytes',
          contentTypes: ['text/plain'],
          sizeBytesMax: SEAL_SIZE_BYTES_MAX,
          description: 'A signed note in UTF-8.',
        },
      },
    ],
  },
  deadLetter(CUSTODY_IMAGES, 'The imageId', ['custody-ingest']),
  deadLetter('gallery.templates.{modelId}.v1', 'The imageId', ['custody-index']),
  deadLetter(SEARCHES_REQUESTS, 'The searchId', ['custody-query']),
  deadLetter(SEARCHES_COMMANDS, 'The searchId', ['custody-query']),
];
