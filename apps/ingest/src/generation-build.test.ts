import { beforeEach, describe, expect, it } from 'vitest';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import {
  standsForUnusable,
  TEMPLATE_UNUSABLE_TYPE,
  templateHeaders,
  templateSourceOffset,
  templateTombstoneHeaders,
  templateUnusableHeaders,
} from '#contracts/template-record.js';
import { GALLERY_GAPS, galleryTemplates } from '#contracts/topics.js';
import type { Disposition } from '#domain/disposition.js';
import { imageId, modelId, offset, subjectId } from '#domain/ids.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { IngestMetrics } from '#platform/metrics.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { GenerationBuild } from './generation-build.js';

const running = modelId('0011223344556677');
const next = modelId('8899aabbccddeeff');
const id = imageId('img-1');
const TAKEN_AT_MS = 1_767_225_600_123;

const template = (sourceOffset: number): KafkaRecord['headers'] =>
  templateHeaders(
    {
      modelId: running,
      metadata: { imageId: id, subjectId: subjectId('s-1') },
      source: { sourceOffset: offset(sourceOffset), acceptedAtMs: 0 },
    },
    '/test',
  );
const unreadable = (sourceOffset: number): KafkaRecord['headers'] => ({ ...template(sourceOffset), ce_subjectid: '' });

function record(headers: KafkaRecord['headers'], key: string = id): KafkaRecord {
  const value = Buffer.alloc(8);
  const place = { topic: galleryTemplates(running), partition: 0, offset: offset(3), timestampMs: TAKEN_AT_MS };
  return { ...place, key: Buffer.from(key), value, headers };
}

const saidOf = ({ headers }: OutgoingRecord): KafkaRecord['headers'] => headers ?? {};

const erasedThrough = (sourceOffset: number): Disposition => ({
  imageId: id,
  kind: 'erased',
  since: '2026-01-01T00:00:00Z',
  authority: 'a',
  reason: 'r',
  sourceOffset: offset(sourceOffset),
});

describe('the gallery of another model, with records that cannot be followed', () => {
  let published: OutgoingRecord[];
  let disposition: Disposition | undefined;

  beforeEach(() => {
    published = [];
    disposition = undefined;
  });

  function follow(...records: readonly KafkaRecord[]): Promise<void> {
    const build = new GenerationBuild(
      running,
      { modelId: next, process: () => Promise.reject(new Error('no photograph is to be processed')) },
      { get: () => Promise.resolve(undefined) },
      {
        publish: (outgoing: OutgoingRecord) => {
          published.push(outgoing);
          return Promise.resolve({ partition: 0, offset: offset(0) });
        },
      } as never,
      () => disposition,
      { of: () => new Map() },
      { record: () => Promise.resolve(), forget: () => undefined },
      new IngestMetrics(),
      silentLog,
    );
    return build.handleBatch({ records, signal: new AbortController().signal });
  }

  describe('what the running gallery cannot use', () => {
    it('is missing in the new gallery as it is in the running one, with its place and its time', async () => {
      await follow(record(unreadable(7)));
      expect(published).toMatchObject([{ topic: galleryTemplates(next), key: id, value: Buffer.alloc(0) }]);
      const headers = saidOf(published[0]!);
      expect(headers['ce_type']).toBe(TEMPLATE_UNUSABLE_TYPE);
      expect(templateSourceOffset(headers)).toBe(7);
      expect(standsForUnusable(headers)).toBe(TAKEN_AT_MS);
    });

    it('keeps the time of the record that another one stands for', async () => {
      await follow(record(templateUnusableHeaders(id, { sourceOffset: undefined, timestampMs: 5 }, '/index')));
      expect(standsForUnusable(saidOf(published[0]!))).toBe(5);
      expect(templateSourceOffset(saidOf(published[0]!))).toBeUndefined();
    });

    it('is nothing where it is erased, and is missing where it came after the erasure', async () => {
      disposition = erasedThrough(7);
      await follow(record(unreadable(7)));
      expect(published).toEqual([]);
      await follow(record(unreadable(8)));
      expect(published).toHaveLength(1);
    });

    it('is nothing under a key that no image has', async () => {
      await follow(record(unreadable(7), 'no image'));
      expect(published).toEqual([]);
    });
  });

  describe('the tombstone of what the other pack can make no template of', () => {
    const tombstones = (): OutgoingRecord[] =>
      published.filter(({ topic, value }) => topic === galleryTemplates(next) && value === null);

    it('names the photograph that it follows from, so that an earlier one goes whatever is decided of the image', async () => {
      await follow(record(template(9)));
      expect(published.map(({ topic }) => topic)).toEqual([GALLERY_GAPS, galleryTemplates(next)]);
      expect(templateSourceOffset(saidOf(tombstones()[0]!))).toBe(9);
    });

    it('is followed as it is, in a gallery that was built so itself; that of an erasure names none', async () => {
      await follow({ ...record(templateTombstoneHeaders(id, '/test', offset(9))), value: null });
      await follow({ ...record(templateTombstoneHeaders(id, '/test')), value: null });
      expect(tombstones().map((gone) => templateSourceOffset(saidOf(gone)))).toEqual([9, undefined]);
    });
  });
});
