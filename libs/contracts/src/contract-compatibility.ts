/**
 * What between two versions of the contract an old writer, an old reader or an old log could not live with. Additions
 * pass: a topic, a type of message, a field or header that nobody needs, a value that may be added. What does not pass
 * comes as a new topic beside the old one, `.v2`.
 *
 * What outside systems send must be taken as before. What they read, and what services of two versions tell each other
 * while they are being replaced one by one, must be understood by who knows the old version, too.
 */
import type { Contract, PublishedBytes, PublishedMessage, PublishedTopic } from './contract-document.js';
import type { JsonSchema } from './json-schema.js';
import { missingFields, refusals } from './schema-compatibility.js';

/** @returns a sentence for each break; empty when there is none */
export function contractBreaks(before: Contract, after: Contract): readonly string[] {
  return Object.entries(before.topics).flatMap(([name, topic]) => {
    const now = after.topics[name];
    return now === undefined ? [`${name}: the topic is gone`] : topicBreaks(topic, now).map((why) => `${name}: ${why}`);
  });
}

function topicBreaks(before: PublishedTopic, after: PublishedTopic): readonly string[] {
  const breaks: string[] = [];
  if (before.partitions !== after.partitions) {
    breaks.push(`${before.partitions} partitions became ${after.partitions}: keys would move`);
  }
  if (before.partitioning !== after.partitioning) {
    breaks.push(`the partition followed from ${before.partitioning}, now from ${after.partitioning}`);
  }
  if (!isSame(before.key, after.key)) breaks.push('the key is another');
  for (const [type, message] of Object.entries(before.messages)) {
    const now = after.messages[type];
    if (now === undefined) breaks.push(`${type} is gone`);
    else breaks.push(...messageBreaks(message, now).map((why) => `${type}: ${why}`));
  }
  return [...breaks, ...settingBreaks(before.settings, after.settings)];
}

function messageBreaks(before: PublishedMessage, after: PublishedMessage): readonly string[] {
  const breaks: string[] = [];
  if (before.direction !== 'internal' && before.direction !== after.direction) {
    breaks.push(`it was ${before.direction} and is ${after.direction}`);
  }
  breaks.push(...schemaBreaks(before.headers, after.headers, after.direction, 'header '));
  if ((before.value === null) !== (after.value === null)) return [...breaks, 'bytes became JSON, or JSON bytes'];
  if (before.value !== null && after.value !== null) {
    breaks.push(...schemaBreaks(before.value, after.value, after.direction, 'field '));
  }
  if (before.bytes !== null && after.bytes !== null) {
    breaks.push(...bytesBreaks(before.bytes, after.bytes, after.direction));
  }
  return breaks;
}

function schemaBreaks(
  before: JsonSchema,
  after: JsonSchema,
  direction: PublishedMessage['direction'],
  what: 'header ' | 'field ',
): readonly string[] {
  const newReader = refusals(after, before).map((why) => `${what}${why} in what was written before`);
  // Who is outside writes by the old version until the new one is in place: nobody reads too early.
  const oldReader =
    direction === 'inbound' ? [] : refusals(before, after).map((why) => `${what}${why}, which old readers refuse`);
  const gone = missingFields(before, after).map((field) => `${what}${field.replace(/^\./, '')} is gone`);
  return [...newReader, ...oldReader, ...gone];
}

function bytesBreaks(
  before: PublishedBytes,
  after: PublishedBytes,
  direction: PublishedMessage['direction'],
): readonly string[] {
  const [read, written] = direction === 'inbound' ? [after, before] : [before, after];
  const types = written.contentTypes.filter((type) => !read.contentTypes.includes(type));
  return [
    ...types.map((type) => `the content type ${type} is refused`),
    ...(before.mayBeNull === after.mayBeNull ? [] : ['a null means something, or means something no longer']),
    ...(written.sizeBytesMax > read.sizeBytesMax ? [`more than ${read.sizeBytesMax} bytes are refused`] : []),
  ];
}

function settingBreaks(before: PublishedTopic['settings'], after: PublishedTopic['settings']): readonly string[] {
  const isLess = (name: string): boolean => {
    const was = before[name];
    const is = after[name];
    // Without one the broker's own holds, about which nothing was promised. -1 is for ever.
    if (was === undefined || was === is) return false;
    if (name === 'cleanup.policy' || name === 'message.timestamp.type' || is === undefined) return true;
    return was === '-1' || (is !== '-1' && Number(is) < Number(was));
  };
  return Object.keys(before)
    .filter(isLess)
    .map((name) => `${name} was ${before[name]} and is ${after[name] ?? 'not set'}`);
}

function isSame(a: JsonSchema | null, b: JsonSchema | null): boolean {
  if (a === null || b === null) return a === b;
  return refusals(a, b).length === 0 && refusals(b, a).length === 0;
}
