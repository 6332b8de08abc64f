/**
 * Records in Kafka's format (magic 2) as kafkajs 2.2.4 encodes and decodes them, in one pass. Its own makes an encoder of
 * 512 bytes for each header, and copies all headers again with each one that it reads: with the dozen that a CloudEvent
 * has, most of what a query or a replayed template costs. The batch around the records stays kafkajs' own.
 *
 * https://kafka.apache.org/documentation/#record
 */

const HIGH_BIT = 0x80;
const LOW_BITS = 0x7f;
const SEVEN_BITS = 128;
/** Of a record's own length, its attributes and its deltas. */
const FIXED_BYTES_MAX = 32;
/** A length or a count as a varint. */
const VARINT_BYTES_MAX = 5;

type Text = string | Buffer;

export interface RecordToEncode {
  readonly offsetDelta?: number;
  readonly timestampDelta?: number;
  readonly key?: Text | null;
  readonly value: Text | null;
  readonly headers?: Readonly<Record<string, Text | readonly Text[]>>;
}

/** What kafkajs takes for one of its encoders. */
export interface EncodedRecord {
  readonly buf: Buffer;
  readonly buffer: Buffer;
}

export function encodeRecord(record: RecordToEncode): EncodedRecord {
  const { offsetDelta = 0, timestampDelta = 0, key = null, value, headers = {} } = record;
  const pairs: (readonly [string, Text])[] = [];
  let bytesMax = FIXED_BYTES_MAX + sizeMax(key) + sizeMax(value);
  for (const name in headers) {
    const given = headers[name]!;
    for (const one of Array.isArray(given) ? (given as readonly Text[]) : [given as Text]) {
      pairs.push([name, one]);
      bytesMax += sizeMax(name) + sizeMax(one);
    }
  }
  // Not from the pool: whatever small lives long beside it there would keep a face's template in memory with it.
  const body = Buffer.allocUnsafeSlow(bytesMax);
  // The length comes first and is known last: room is left for the longest.
  const writer = new Writer(body, VARINT_BYTES_MAX);
  writer.byte(0);
  writer.varint(timestampDelta);
  writer.varint(offsetDelta);
  writer.bytes(key);
  writer.bytes(value);
  writer.varint(pairs.length);
  for (const [name, one] of pairs) {
    writer.bytes(name);
    writer.bytes(one);
  }
  const length = writer.at - VARINT_BYTES_MAX;
  const start = VARINT_BYTES_MAX - varintSize(length);
  new Writer(body, start).varint(length);
  const buffer = body.subarray(start, writer.at);
  return { buf: buffer, buffer };
}

/** Of text and of bytes with their length, from above: UTF-8 takes at most three bytes for a UTF-16 unit. */
function sizeMax(value: Text | null): number {
  if (value === null) return VARINT_BYTES_MAX;
  return VARINT_BYTES_MAX + (typeof value === 'string' ? value.length * 3 : value.length);
}

function varintSize(value: number): number {
  let bytes = 1;
  for (let rest = Math.floor((value * 2) / SEVEN_BITS); rest > 0; rest = Math.floor(rest / SEVEN_BITS)) bytes++;
  return bytes;
}

class Writer {
  constructor(
    private readonly buffer: Buffer,
    /** Where the next byte goes. */
    public at: number,
  ) {}

  byte(value: number): void {
    this.buffer[this.at++] = value;
  }

  /** Zigzag: small numbers of either sign take few bytes. By division, because a timestamp's delta may exceed 32 bits. */
  varint(value: number): void {
    let rest = value < 0 ? -value * 2 - 1 : value * 2;
    while (rest >= SEVEN_BITS) {
      this.byte((rest % SEVEN_BITS) | HIGH_BIT);
      rest = Math.floor(rest / SEVEN_BITS);
    }
    this.byte(rest);
  }

  bytes(value: Text | null): void {
    if (value === null) return this.varint(-1);
    if (typeof value === 'string') {
      this.varint(Buffer.byteLength(value));
      this.at += this.buffer.write(value, this.at);
      return;
    }
    this.varint(value.length);
    this.at += value.copy(this.buffer, this.at);
  }
}

/** The part of kafkajs' decoder of one record that is used; `buffer` is that record without its length. */
export interface RecordBytes {
  readonly buffer: Buffer;
  readonly offset: number;
}

/** What kafkajs knows of the batch around a record. */
export interface BatchContext {
  readonly firstOffset: string;
  readonly firstTimestamp: string;
  readonly maxTimestamp: string;
  readonly magicByte: number;
  readonly isControlBatch?: boolean;
  readonly timestampType: unknown;
}

/** @param logAppendTime what kafkajs calls the type of timestamps that the broker gives */
export function recordDecoder(logAppendTime: unknown) {
  return ({ buffer, offset: from }: RecordBytes, batchContext: BatchContext) => {
    const reader = new Reader(buffer, from);
    const attributes = reader.byte();
    const timestampDelta = reader.varint();
    const offsetDelta = reader.varint();
    const key = reader.bytes();
    const value = reader.bytes();
    const headers: Record<string, string> = {};
    for (let left = reader.varint(); left > 0; left--) {
      const name = reader.text();
      const text = reader.text();
      // Of a repeated name the last one counts, which may be none.
      if (name === null) continue;
      if (text === null) delete headers[name];
      else headers[name] = text;
    }
    const { firstOffset, firstTimestamp, maxTimestamp, timestampType } = batchContext;
    return {
      magicByte: batchContext.magicByte,
      attributes,
      timestamp:
        timestampType === logAppendTime && maxTimestamp
          ? maxTimestamp
          : String(Number(firstTimestamp) + timestampDelta),
      offset: String(Number(firstOffset) + offsetDelta),
      key,
      value,
      headers,
      isControlRecord: batchContext.isControlBatch ?? false,
      batchContext,
    };
  };
}

class Reader {
  constructor(
    private readonly buffer: Buffer,
    private at: number,
  ) {}

  byte(): number {
    return this.buffer[this.at++]!;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    let byte: number;
    do {
      byte = this.byte();
      // Past the end: a record that says that it is longer than it is.
      if (byte === undefined) throw new RangeError('a record ends within a number');
      value += (byte & LOW_BITS) * scale;
      scale *= SEVEN_BITS;
    } while (byte >= HIGH_BIT);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  bytes(): Buffer | null {
    const length = this.varint();
    if (length < 0) return null;
    const start = this.at;
    this.at += length;
    return this.buffer.subarray(start, this.at);
  }

  text(): string | null {
    const length = this.varint();
    if (length < 0) return null;
    const start = this.at;
    this.at += length;
    return this.buffer.toString('utf8', start, this.at);
  }
}

/** The polynomial of CRC-32C (Castagnoli), reversed. */
const CRC32C_POLYNOMIAL = 0x82f63b78;
/** Bytes that one step takes, with a table for each: RFC 3720 gives the check, Intel's "slicing-by-8" the way. */
const STEP = 8;
const TABLE = 256;
const tables = crcTables();

/** Of a whole batch, which is most of what sending a large record costs besides copying it. @returns unsigned */
export function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  let i = 0;
  for (const end = bytes.length - STEP; i <= end; i += STEP) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc =
      tables[7 * TABLE + (crc & 0xff)]! ^
      tables[6 * TABLE + ((crc >>> 8) & 0xff)]! ^
      tables[5 * TABLE + ((crc >>> 16) & 0xff)]! ^
      tables[4 * TABLE + (crc >>> 24)]! ^
      tables[3 * TABLE + bytes[i + 4]!]! ^
      tables[2 * TABLE + bytes[i + 5]!]! ^
      tables[TABLE + bytes[i + 6]!]! ^
      tables[bytes[i + 7]!]!;
  }
  for (; i < bytes.length; i++) crc = tables[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

function crcTables(): Int32Array {
  const all = new Int32Array(STEP * TABLE);
  for (let byte = 0; byte < TABLE; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CRC32C_POLYNOMIAL : crc >>> 1;
    all[byte] = crc;
  }
  for (let byte = 0; byte < TABLE; byte++) {
    for (let step = 1; step < STEP; step++) {
      const before = all[(step - 1) * TABLE + byte]!;
      all[step * TABLE + byte] = all[before & 0xff]! ^ (before >>> 8);
    }
  }
  return all;
}
