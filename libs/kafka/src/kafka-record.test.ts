import { describe, expect, it } from 'vitest';
import { endOfMessages, recordFrom } from './kafka-record.js';

describe('record', () => {
  it('has its headers as text, the last one of a repeated name', () => {
    const message = {
      offset: '9007199254740991',
      timestamp: '1700000000000',
      key: null,
      value: null,
      headers: { a: Buffer.from('ä'), b: [Buffer.from('1'), Buffer.from('2')], c: undefined },
    };
    expect(recordFrom('t', 1, message)).toEqual({
      topic: 't',
      partition: 1,
      offset: Number.MAX_SAFE_INTEGER,
      key: null,
      value: null,
      headers: { a: 'ä', b: '2' },
      timestampMs: 1_700_000_000_000,
    });
  });
});

describe('end of messages', () => {
  const message = (offset: number, batchContext?: { firstOffset: string; lastOffsetDelta: number }) => ({
    offset: String(offset),
    timestamp: '0',
    key: null,
    value: null,
    ...(batchContext && { batchContext }),
  });

  it('is past the last offset of a batch whose last records were compacted away', () => {
    expect(endOfMessages([message(10, { firstOffset: '10', lastOffsetDelta: 399 })])).toBe(410);
  });

  it('is past the last message where there is no batch, and 0 for none', () => {
    expect(endOfMessages([message(3), message(5)])).toBe(6);
    expect(endOfMessages([])).toBe(0);
  });
});
