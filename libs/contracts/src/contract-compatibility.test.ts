import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { contractBreaks } from './contract-compatibility.js';
import { contractOf, type Contract } from './contract-document.js';
import { eventHeaders, jsonContent, type Message, type TopicMessages } from './message.js';
import { MESSAGE_REGISTRY } from './message-registry.js';

const now = contractOf('1.0.0');

/** The registry with one message, or its topic, changed. */
function withMessage(type: string, change: (message: Message) => Message | undefined): Contract {
  const registry = MESSAGE_REGISTRY.map((topic) => ({
    ...topic,
    messages: topic.messages.flatMap((message) => (message.type === type ? (change(message) ?? []) : message)),
  }));
  return contractOf('1.1.0', registry);
}

function withTopic(topic: string, change: Partial<TopicMessages>): Contract {
  return contractOf(
    '1.1.0',
    MESSAGE_REGISTRY.map((one) => (one.topic === topic ? { ...one, ...change } : one)),
  );
}

const IMAGE = 'custody.image.v1';
const REPORT = 'gallery.replica.v1';
const FACE_CHOSEN = 'searches.event.v1.FACE_CHOSEN';
const ANSWERED = 'searches.event.v1.OPERATOR_SEARCH_ANSWERED';

const headers = (change: (schema: z.ZodObject) => z.ZodObject) => (message: Message) => ({
  ...message,
  headers: change(message.headers),
});
const value = (change: (schema: z.ZodObject) => z.ZodType) => (message: Message) => ({
  ...message,
  value: { kind: 'json' as const, schema: change((message.value as unknown as { schema: z.ZodObject }).schema) },
});
const sizeMax = (sizeBytesMax: number) => (message: Message) =>
  ({ ...message, value: { ...message.value, sizeBytesMax } }) as Message;
const pictures = (contentTypes: readonly string[]) => (message: Message) =>
  ({ ...message, value: { ...message.value, contentTypes } }) as Message;

const added: Message = {
  type: 'custody.transfer.v1',
  summary: 'New.',
  senders: ['custody-ingest'],
  headers: eventHeaders('custody.transfer.v1', { contentType: jsonContent }),
  value: { kind: 'json', schema: z.object({ to: z.string() }) },
};

describe('a later version of the contract', () => {
  it('lives with the same one', () => {
    expect(contractBreaks(now, contractOf('1.1.0'))).toEqual([]);
  });

  it.each<[string, Contract]>([
    [
      'a header that may be there',
      withMessage(
        IMAGE,
        headers((h) => h.extend({ ce_height: z.string().optional() })),
      ),
    ],
    [
      'a value of a header that outside systems may send',
      withMessage(
        IMAGE,
        headers((h) => h.extend({ ce_sex: z.enum(['female', 'male', 'other', 'unknown', 'x']).optional() })),
      ),
    ],
    [
      'a longer text from outside',
      withMessage(
        IMAGE,
        headers((h) => h.extend({ ce_force: z.string().min(1).max(512).optional() })),
      ),
    ],
    ['a larger image', withMessage(IMAGE, sizeMax(16 * 1024 * 1024))],
    [
      'a field that may be there',
      withMessage(
        FACE_CHOSEN,
        value((v) => v.extend({ reason: z.string().optional() })),
      ),
    ],
    [
      'a ground that a force publishes',
      withMessage(
        ANSWERED,
        value((v) => v.extend({ grounds: z.string().meta({ 'x-extensible-enum': ['lost', ...grounds()] }) })),
      ),
    ],
    [
      'a type of message',
      contractOf(
        '1.1.0',
        MESSAGE_REGISTRY.map((one) => ({ ...one, messages: [...one.messages, added] })),
      ),
    ],
    [
      'words',
      withMessage(IMAGE, (message) => ({
        ...message,
        summary: 'In other words.',
        headers: message.headers.extend({ ce_source: z.string().min(1).max(256).meta({ description: 'Otherwise.' }) }),
      })),
    ],
  ])('may add or change %s', (_, next) => {
    expect(contractBreaks(now, next)).toEqual([]);
  });

  it.each<[string, Contract, string]>([
    ['a topic', contractOf('1.1.0', MESSAGE_REGISTRY.slice(1)), 'custody.images.v1: the topic is gone'],
    ['a type of message', withMessage(FACE_CHOSEN, () => undefined), `${FACE_CHOSEN} is gone`],
    [
      'a header that may be there',
      withMessage(
        IMAGE,
        headers((h) => h.omit({ ce_custodyref: true })),
      ),
      'header ce_custodyref is gone',
    ],
    [
      'a field that may be there',
      withMessage(
        FACE_CHOSEN,
        value((v) => v.omit({ commandDigest: true })),
      ),
      'field commandDigest is gone',
    ],
    [
      'a field',
      withMessage(
        FACE_CHOSEN,
        value((v) => v.omit({ face: true })),
      ),
      'field face may be absent, which old readers refuse',
    ],
    [
      'a ground',
      withMessage(
        ANSWERED,
        value((v) => v.extend({ grounds: z.string().meta({ 'x-extensible-enum': ['missing'] }) })),
      ),
      'field grounds=deceased is gone',
    ],
    ['a format of pictures', withMessage(IMAGE, pictures(['image/jpeg'])), 'the content type image/avif is refused'],
  ])('may not take away %s', (_, next, why) => {
    expect(contractBreaks(now, next).join('\n')).toContain(why);
  });

  it.each<[string, Contract, string]>([
    [
      'rename a header',
      withMessage(
        IMAGE,
        headers((h) => h.omit({ ce_force: true }).extend({ ce_police: z.string().optional() })),
      ),
      'header ce_force is gone',
    ],
    [
      'require a header',
      withMessage(
        IMAGE,
        headers((h) => h.extend({ ce_force: z.string().min(1).max(256) })),
      ),
      'header ce_force may be absent in what was written before',
    ],
    [
      'require a new header',
      withMessage(
        IMAGE,
        headers((h) => h.extend({ ce_height: z.string() })),
      ),
      'header ce_height may be absent in what was written before',
    ],
    [
      'take fewer values of a header',
      withMessage(
        IMAGE,
        headers((h) => h.extend({ ce_sex: z.enum(['female', 'male']).optional() })),
      ),
      'header ce_sex may be other, unknown in what was written before',
    ],
    [
      'take a shorter text',
      withMessage(
        IMAGE,
        headers((h) => h.extend({ ce_force: z.string().min(1).max(64).optional() })),
      ),
      'header ce_force may be beyond its maxLength of 64',
    ],
    ['take smaller images', withMessage(IMAGE, sizeMax(1024)), 'more than 1024 bytes are refused'],
    [
      'change a type',
      withMessage(
        FACE_CHOSEN,
        value((v) => v.extend({ by: z.number() })),
      ),
      'field by may be number, not only string, which old readers refuse',
    ],
    [
      'require a new field',
      withMessage(
        FACE_CHOSEN,
        value((v) => v.extend({ reason: z.string() })),
      ),
      'field reason may be absent in what was written before',
    ],
    [
      'write a value that old readers do not know',
      withMessage(
        REPORT,
        value((v) => v.extend({ state: z.enum(['replaying', 'serving', 'stopped', 'lost']) })),
      ),
      'field state may be lost, which old readers refuse',
    ],
    [
      'make a null mean something',
      withMessage(FACE_CHOSEN, (message) => ({ ...message, nullMeans: 'Forget it.' })),
      'may be null',
    ],
    [
      'turn bytes into JSON',
      withMessage(IMAGE, (message) => ({ ...message, value: { kind: 'json', schema: z.string() } })),
      'bytes became JSON',
    ],
    ['change the key', withTopic('custody.images.v1', { key: z.uuid() }), 'custody.images.v1: the key is another'],
    ['leave the key away', withTopic('custody.images.v1', { key: undefined }), 'the key is another'],
    [
      'choose the partition otherwise',
      withTopic('searches.events.v1', { partitioning: 'key' }),
      'the partition followed from searchId, now from key',
    ],
  ])('may not %s', (_, next, why) => {
    expect(contractBreaks(now, next).join('\n')).toContain(why);
  });

  it.each<[string, (topic: Contract['topics'][string]) => object, string]>([
    ['other partitions', () => ({ partitions: 48 }), '24 partitions became 48'],
    [
      'a shorter retention',
      ({ settings }) => ({ settings: { ...settings, 'retention.ms': '1000' } }),
      'retention.ms was',
    ],
    [
      'no compaction',
      ({ settings }) => ({ settings: { ...settings, 'cleanup.policy': 'delete' } }),
      'cleanup.policy was',
    ],
    [
      'smaller messages',
      ({ settings }) => ({ settings: { ...settings, 'max.message.bytes': '9' } }),
      'max.message.bytes was',
    ],
    [
      'another clock',
      ({ settings }) => ({ settings: { ...settings, 'message.timestamp.type': 'CreateTime' } }),
      'LogAppendTime',
    ],
  ])('may not have %s', (_, change, why) => {
    const topic = now.topics['custody.images.v1']!;
    const next = { ...now, topics: { ...now.topics, 'custody.images.v1': { ...topic, ...change(topic) } } };
    expect(contractBreaks(now, next).join('\n')).toContain(why);
  });

  it('may keep records longer, and take larger ones', () => {
    const topic = now.topics['custody.images.v1']!;
    const settings = { ...topic.settings, 'retention.ms': '-1', 'max.message.bytes': '100000000' };
    const next = { ...now, topics: { ...now.topics, 'custody.images.v1': { ...topic, settings } } };
    expect(contractBreaks(now, next)).toEqual([]);
    expect(contractBreaks(next, now)).toHaveLength(2);
  });
});

function grounds(): string[] {
  const schema = now.topics['searches.events.v1']!.messages[ANSWERED]!.value as {
    properties: Record<string, Record<string, string[]>>;
  };
  return schema.properties['grounds']!['x-extensible-enum']!;
}
