/**
 * CloudEvents 1.0 in Kafka's binary mode: attributes and extensions travel as `ce_` headers, the value is the data.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
 */
import { randomUUID } from 'node:crypto';
import { Refusal } from '#domain/errors.js';

export type Headers = Record<string, string>;

export interface CloudEvent {
  readonly type: string;
  /** Which system says so, a URI reference such as `/custody-face-search/ingest`. */
  readonly source: string;
  /** The id of what the event is about. */
  readonly subject: string;
  readonly contentType?: string;
  /** Names are lower-case letters and digits; undefined ones are left out. */
  readonly extensions?: Readonly<Record<string, string | undefined>>;
}

/** Header values are UTF-8 as they are: percent-encoding belongs to the HTTP binding, not to Kafka's. */
export function cloudEventHeaders(event: CloudEvent, now: Date = new Date()): Headers {
  const headers: Headers = {
    ce_specversion: '1.0',
    ce_id: randomUUID(),
    ce_type: event.type,
    ce_source: event.source,
    ce_subject: event.subject,
    ce_time: now.toISOString(),
  };
  if (event.contentType !== undefined) headers['content-type'] = event.contentType;
  for (const [name, value] of Object.entries(event.extensions ?? {})) {
    if (value !== undefined) headers[`ce_${name}`] = value;
  }
  return headers;
}

export const JSON_CONTENT = 'application/json';

export function extension(headers: Headers, name: string): string | undefined {
  const raw = headers[`ce_${name}`];
  return raw === undefined || raw === '' ? undefined : raw;
}

/**
 * @throws Refusal HEADER_MISSING
 */
export function requiredExtension(headers: Headers, name: string): string {
  const value = extension(headers, name);
  if (value === undefined)
    throw new Refusal('HEADER_MISSING', `The header ce_${name} is required.`, { header: `ce_${name}` });
  return value;
}

/** @throws Refusal HEADER_MISSING, HEADER_UNKNOWN when it is not a CloudEvent 1.x of this type */
export function expectCloudEvent(headers: Headers, type: string): void {
  for (const name of ['specversion', 'id', 'source', 'type']) requiredExtension(headers, name);
  if (!headers['ce_specversion']!.startsWith('1.')) {
    throw new Refusal('HEADER_UNKNOWN', 'ce_specversion must be 1.0.', { header: 'ce_specversion' });
  }
  if (headers['ce_type'] !== type) {
    throw new Refusal('HEADER_UNKNOWN', `ce_type must be ${type}.`, { header: 'ce_type' });
  }
}
