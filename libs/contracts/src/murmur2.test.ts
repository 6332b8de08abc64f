import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { murmur2, partitionFor } from './murmur2.js';

describe('murmur2', () => {
  // The values of Kafka's own test, org.apache.kafka.common.utils.UtilsTest.testMurmur2.
  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('hashes %j as Java does', (text, expected) => {
    expect(murmur2(Buffer.from(text))).toBe(expected);
  });

  it('chooses the partition that the default partitioner of kafkajs chooses, for keys of every length and byte', () => {
    const require = createRequire(import.meta.url);
    const { Partitioners } = require('kafkajs') as {
      Partitioners: { DefaultPartitioner: () => (args: unknown) => number };
    };
    const choose = Partitioners.DefaultPartitioner();
    let state = 12345;
    for (let i = 0; i < 2000; i++) {
      const key = Buffer.alloc(i % 67);
      for (let j = 0; j < key.length; j++) {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        key[j] = state >>> 16;
      }
      const partitions = 1 + (i % 31);
      const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({ partitionId, leader: 1 }));
      expect(partitionFor(key, partitions)).toBe(choose({ topic: 't', partitionMetadata, message: { key } }));
    }
  });

  it('hashes text as UTF-8', () => {
    expect(partitionFor('Zoë', 24)).toBe(partitionFor(Buffer.from('Zoë', 'utf8'), 24));
  });
});
