/** The official CloudEvents SDK of JavaScript, in both directions. Those of Java and Python: test/e2e/examples.test.ts. */
import { CloudEvent, Kafka } from 'cloudevents';
import { describe, expect, test } from 'vitest';
import { encodeOutcome, outcomeHeaders } from '#contracts/outcome-record.js';
import {
  checkErasureHeaders,
  custodyImageHeaders,
  erasureHeaders,
  parseCustodyImage,
} from '#contracts/custody-image.js';
import { deadLetterHeaders, encodeDeadLetter } from '#contracts/dead-letter-record.js';
import { parseSearchRequestFields, searchEventRecord } from '#contracts/search-record.js';
import { encodeTemplate, templateHeaders } from '#contracts/template-record.js';
import type { ImageId, ModelId, Offset, SearchId, SubjectId } from '#domain/ids.js';

const id = 'img-1' as ImageId;
const searchId = '0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f' as SearchId;

/** As a consumer hands it to the SDK. */
function read(headers: Readonly<Record<string, string>>, value: Buffer | string): CloudEvent<unknown> {
  const event = Kafka.toEvent({ headers: { ...headers }, body: '', key: '', value: Buffer.from(value) } as never);
  const read = event as CloudEvent<unknown>;
  expect(read.validate()).toBe(true);
  return read;
}

/** As a producer is given it by the SDK: header values are texts on their way. */
function written(event: CloudEvent<unknown>): Record<string, string> {
  const { headers } = Kafka.binary(event);
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, String(value)]),
  );
}

describe('the CloudEvents SDK reads', () => {
  test('an outcome, with its JSON', () => {
    const outcome = {
      imageId: id,
      at: '2026-01-02T03:04:05.678Z',
      source: { partition: 3, offset: 7 as Offset },
      outcome: 'refused',
      code: 'NO_FACE',
      detail: 'Ü',
    } as const;
    const event = read(outcomeHeaders(outcome, '/ingest'), encodeOutcome(outcome));
    expect(event).toMatchObject({ type: 'custody.outcome.v1', source: '/ingest', subject: id, specversion: '1.0' });
    expect(event.data).toEqual(outcome);
  });

  test('an event of a search', () => {
    const record = searchEventRecord(
      { type: 'SEARCH_STARTED', searchId, version: 2, at: '2026-01-02T03:04:05.678Z', by: '/query' },
      '/query',
    );
    expect(read(record.headers!, record.value!)).toMatchObject({
      type: 'searches.event.v1.SEARCH_STARTED',
      subject: searchId,
      datacontenttype: 'application/json',
    });
  });

  test('an image and a template, with their extensions and their bytes', () => {
    const photograph = Buffer.from([0xff, 0xd8, 0xff, 0x00]);
    const image = { imageId: id, subjectId: 's' as SubjectId, force: 'Dyfed–Powys', face: 3 };
    const event = read(custodyImageHeaders(image, '/custody', 'image/jpeg'), photograph);
    expect(event).toMatchObject({ type: 'custody.image.v1', subjectid: 's', force: 'Dyfed–Powys', face: '3' });
    expect(Buffer.from(event.data as Buffer)).toEqual(photograph);
    const template = templateHeaders(
      {
        modelId: '00112233aabbccdd' as ModelId,
        metadata: { imageId: id, subjectId: 's' as SubjectId },
        source: { sourceOffset: 7 as Offset, acceptedAtMs: 1 },
      },
      '/ingest',
    );
    expect(read(template, encodeTemplate(new Float32Array(4)))).toMatchObject({ sourceoffset: '7' });
  });

  test('a dead letter', () => {
    const letter = { topic: 't', partition: 1, offset: 2, key: id, code: 'X', detail: 'x', attempts: 3 };
    const whole = { ...letter, at: '2026-01-02T03:04:05.678Z' };
    expect(read(deadLetterHeaders(whole, '/ingest'), encodeDeadLetter(whole))).toMatchObject({ subject: 't/1/2' });
  });
});

describe('what the CloudEvents SDK writes', () => {
  test('is an image to enrol', () => {
    const event = new CloudEvent({
      type: 'custody.image.v1',
      source: '/custody',
      subject: id,
      datacontenttype: 'image/jpeg',
      subjectid: 'subject-1',
      custodyref: 'DP/26/1',
      capturedat: '2026-02-03',
      face: 'largest',
      data: Buffer.from([1]),
    });
    expect(parseCustodyImage(id, written(event))).toEqual({
      imageId: id,
      subjectId: 'subject-1',
      custodyReference: 'DP/26/1',
      capturedAt: '2026-02-03',
      face: 'largest',
    });
  });

  test('is an erasure, with the assertion beside it', () => {
    const event = new CloudEvent({ type: 'custody.erasure.v1', source: '/custody', subject: id });
    const { ce_id: _, ce_time: __, ...headers } = erasureHeaders(id, '/custody', 'a.b.c');
    const sent = { ...written(event), assertion: 'a.b.c' };
    expect(sent).toMatchObject(headers);
    expect(() => checkErasureHeaders(id, sent)).not.toThrow();
  });

  test('is a request to search', () => {
    const request = { crimeReference: 'CR/1', offence: 'byrgleriaeth ŵ', limit: 5 };
    const event = new CloudEvent({
      type: 'searches.request.v1',
      source: '/case',
      subject: searchId,
      datacontenttype: 'image/jpeg',
      request: JSON.stringify(request),
      data: Buffer.from([1]),
    });
    expect(parseSearchRequestFields(written(event))).toEqual(request);
  });
});
