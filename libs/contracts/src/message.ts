/**
 * What a message on a topic is: its CloudEvents type, its headers, its value and who sends it. The registry
 * (message-registry.ts) has every one; AsyncAPI, the JSON Schemas and the check of compatibility are made from it.
 */
import { TRACE_PARENT_HEADER } from '@opentelemetry/core';
import { z } from 'zod';
import type { Principal } from './access.js';
import { instantSchema } from './record-schemas.js';

/** How the partition of a record follows from it. A writer that does otherwise is refused, or not understood. */
export type Partitioning =
  /** murmur2 of the key, as the Java client's default partitioner. */
  | 'key'
  /** murmur2 of the searchId, with which the key begins. */
  | 'searchId'
  /** The topic has one partition. */
  | 'single'
  /** The query names the partition. */
  | 'asked';

export type MessageValue =
  | { readonly kind: 'json'; readonly schema: z.ZodType }
  /** Bytes as they are. */
  | {
      readonly kind: 'bytes';
      readonly contentTypes: readonly string[];
      readonly sizeBytesMax: number;
      readonly description: string;
    }
  /** A null and nothing else. */
  | { readonly kind: 'none' };

export interface Message {
  /** The CloudEvents type, with its version; of a record without one, a name of the same form. */
  readonly type: string;
  readonly summary: string;
  /** Who sends it, of those who may write to the topic. */
  readonly senders: readonly Principal[];
  /** Of text values, as Kafka's binary mode has them. More headers than these may be there. */
  readonly headers: z.ZodObject;
  /** Where it is another than the topic's. */
  readonly key?: z.ZodType;
  readonly value: MessageValue;
  /** What a null in place of the value means, where one may be sent. */
  readonly nullMeans?: string;
}

export interface TopicMessages {
  /** The topic's name; `{modelId}` stands for a model's. */
  readonly topic: string;
  readonly summary: string;
  readonly partitioning: Partitioning;
  /** What the key holds; undefined where there is none. */
  readonly key: z.ZodType | undefined;
  readonly messages: readonly Message[];
}

export interface HeaderRules {
  readonly contentType?: z.ZodType;
  /** Absent: any text. */
  readonly subject?: z.ZodType;
  /** Absent: any text. */
  readonly source?: z.ZodType;
  /** By the name of the extension, without `ce_`. */
  readonly extensions?: Readonly<Record<string, z.ZodType>>;
  /** Headers that are no attributes of a CloudEvent. */
  readonly others?: Readonly<Record<string, z.ZodType>>;
}

export const headerText = z.string().min(1);
/** A whole number in decimal digits, such as an offset. */
export const headerNumber = z.string().regex(/^\d{1,15}$/);

/** The headers of a CloudEvent of this type, each a text. */
export function eventHeaders(type: string, rules: HeaderRules = {}): z.ZodObject {
  const { contentType, subject = headerText, source = headerText, extensions = {}, others = {} } = rules;
  return z.looseObject({
    ce_specversion: z.string().regex(/^1\./).meta({ description: 'The version of CloudEvents: 1.0.' }),
    ce_id: headerText.meta({ description: 'With ce_source it names this one event, for example a UUID.' }),
    ce_source: source,
    ce_type: z.literal(type),
    ce_subject: subject,
    ce_time: instantSchema.optional().meta({ description: 'When it was sent.' }),
    [TRACE_PARENT_HEADER]: z.string().optional().meta({
      description: 'W3C Trace Context: the trace that it was sent in. What cannot be read as one is ignored.',
    }),
    ...(contentType !== undefined && { 'content-type': contentType }),
    ...Object.fromEntries(Object.entries(extensions).map(([name, schema]) => [`ce_${name}`, schema])),
    ...others,
  });
}

export const jsonContent = z.literal('application/json');
export const bytesContent = z.literal('application/octet-stream');
