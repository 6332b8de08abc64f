import { describe, expect, it } from 'vitest';
import type { Offset } from '#domain/ids.js';
import { deadLetterFor } from './dead-letters.js';

describe('dead letters', () => {
  it('refer to the source and its cause, under the same key, and never carry the value', () => {
    const key = Buffer.from('image-1');
    const record = {
      topic: 'custody.images.v1',
      partition: 3,
      offset: 42 as Offset,
      key,
      value: Buffer.from('secret pixels'),
      headers: {},
      timestampMs: 0,
    };
    const letter = deadLetterFor(
      record,
      { code: 'IMAGE_UNREADABLE', detail: 'x'.repeat(900), attempts: 3 },
      '/test',
      new Date(0),
    );
    expect(letter).toMatchObject({ topic: 'custody.images.v1.dead-letters', key });
    expect(JSON.parse(String(letter.value))).toEqual({
      topic: 'custody.images.v1',
      partition: 3,
      offset: 42,
      key: 'image-1',
      code: 'IMAGE_UNREADABLE',
      detail: 'x'.repeat(500),
      attempts: 3,
      at: '1970-01-01T00:00:00.000Z',
    });
    expect(JSON.stringify(letter)).not.toContain('secret pixels');
  });

  it('can be written whatever the size of the key: a bad one is as large as its writer likes', () => {
    const record = {
      topic: 'custody.images.v1',
      partition: 3,
      offset: 42 as Offset,
      key: Buffer.alloc(4_000_000, 'k'),
    };
    const letter = deadLetterFor(record, { code: 'BAD_IMAGE_ID', detail: 'x', attempts: 1 }, '/test');
    expect(letter.key).toHaveLength(1024);
    expect(String(letter.value).length).toBeLessThan(2000);
  });
});
