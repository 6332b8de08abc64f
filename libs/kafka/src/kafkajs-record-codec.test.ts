import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c, encodeRecord, recordDecoder, type RecordToEncode } from './kafkajs-record-codec.js';
import { applyKafkajsWorkarounds } from './kafkajs-workarounds.js';

const require = createRequire(import.meta.url);
const PROTOCOL = 'kafkajs/src/protocol';

/** As kafkajs brings it: these tests load the modules before they are replaced. */
const Decoder = require(`${PROTOCOL}/decoder.js`) as new (buffer: Buffer) => { buffer: Buffer; offset: number };
const theirs = {
  encode: require(`${PROTOCOL}/recordBatch/record/v0/index.js`) as (record: RecordToEncode) => { buffer: Buffer },
  decode: require(`${PROTOCOL}/recordBatch/record/v0/decoder.js`) as ReturnType<typeof recordDecoder>,
  crc: require(`${PROTOCOL}/recordBatch/crc32C/index.js`) as (bytes: Buffer) => number,
};
const { LOG_APPEND_TIME, CREATE_TIME } = require(`${PROTOCOL}/timestampTypes.js`) as Record<string, unknown>;

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const text = fc.string({ unit: 'binary', maxLength: 40 });
const record = fc.record({
  offsetDelta: fc.nat(1_000_000),
  timestampDelta: fc.oneof(fc.integer(), fc.integer({ min: -(2 ** 45), max: 2 ** 45 })),
  key: fc.oneof(fc.constant(null), text, bytes(40)),
  value: fc.oneof(fc.constant(null), text, bytes(5_000)),
  headers: fc.dictionary(
    text.filter((name) => name !== '__proto__'),
    fc.oneof(text, bytes(300), fc.array(text, { minLength: 2, maxLength: 3 })),
    { maxKeys: 15 },
  ),
});
const context = {
  firstOffset: '9007199000000000',
  firstTimestamp: '1700000000000',
  maxTimestamp: '1700000000999',
  magicByte: 2,
  isControlBatch: false,
  timestampType: CREATE_TIME,
};

describe('the record codec', () => {
  it('writes the bytes that kafkajs writes', () => {
    fc.assert(
      fc.property(record, (given) => {
        expect(encodeRecord(given).buffer.equals(theirs.encode(given).buffer)).toBe(true);
      }),
    );
  });

  it('reads what kafkajs reads, headers as text with the last of a repeated name', () => {
    const decode = recordDecoder(LOG_APPEND_TIME);
    fc.assert(
      fc.property(record, fc.constantFrom(LOG_APPEND_TIME, CREATE_TIME), (given, timestampType) => {
        const encoded = theirs.encode(given).buffer;
        const body = encoded.subarray(lengthOfVarint(encoded));
        const expected = theirs.decode(new Decoder(body), { ...context, timestampType });
        const headers = Object.entries(expected.headers as unknown as Record<string, Buffer | Buffer[]>).map(
          ([name, value]) => [name, String(Array.isArray(value) ? value.at(-1) : value)],
        );
        expect(decode(new Decoder(body), { ...context, timestampType })).toEqual({
          ...expected,
          headers: Object.fromEntries(headers) as unknown,
        });
      }),
    );
  });

  it('passes over a header without a value, and over one that another says is none', () => {
    const nothing = Buffer.from([1]);
    const named = (name: string, value: Buffer) =>
      Buffer.concat([Buffer.from([name.length * 2]), Buffer.from(name), value]);
    const some = Buffer.from([2, 120]);
    const headers = [named('a', nothing), named('b', some), named('b', nothing), named('c', nothing), named('c', some)];
    const body = Buffer.concat([Buffer.from([0, 0, 0, 1, 1, headers.length * 2]), ...headers]);
    expect(recordDecoder(LOG_APPEND_TIME)(new Decoder(body), context)).toMatchObject({
      key: null,
      value: null,
      headers: { c: 'x' },
    });
  });

  it('refuses a record that ends within a number', () => {
    const decode = recordDecoder(LOG_APPEND_TIME);
    expect(() => decode(new Decoder(Buffer.from([0, 0x80])), context)).toThrow(RangeError);
  });

  it('has the checksum of RFC 3720, and of kafkajs, for bytes of every length', () => {
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    fc.assert(
      fc.property(bytes(100), (given) => {
        expect(crc32c(given)).toBe(theirs.crc(given));
      }),
    );
  });

  it('is what kafkajs uses once the workarounds are applied', async () => {
    applyKafkajsWorkarounds();
    expect(require(`${PROTOCOL}/recordBatch/record/v0/index.js`)).toBe(encodeRecord);
    expect(require(`${PROTOCOL}/recordBatch/crc32C/index.js`)).toBe(crc32c);
    const produce = require(`${PROTOCOL}/requests/produce/v7/request.js`) as (request: object) => {
      encode(): Promise<{ buffer: Buffer }>;
    };
    const messages = [{ key: 'k', value: 'v', headers: { a: 'b' } }];
    const topicData = [{ topic: 't', partitions: [{ partition: 0, messages }] }];
    const { buffer } = await produce({ acks: -1, timeout: 1, topicData }).encode();
    expect(buffer.includes(encodeRecord(messages[0]!).buffer)).toBe(true);
  });
});

function lengthOfVarint(buffer: Buffer): number {
  return buffer.findIndex((byte) => byte < 0x80) + 1;
}
