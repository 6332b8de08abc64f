import { describe, expect, it } from 'vitest';
import {
  formatAuditLine,
  leafEventId,
  parseAuditLine,
  sealLine,
  sealRecords,
  type AuditLine,
} from './audit-seal-record.js';
import { AUDIT_CHECKPOINTS } from './topics.js';

const leaf = { leaf: Buffer.alloc(32, 7), eventId: 'event-1', loggedAt: '2026-01-01T00:00:00.000Z' };
const LINES: readonly AuditLine[] = [
  { kind: 'audit-export', version: 1, exportedAt: '2026-01-01T00:00:00.000Z' },
  { kind: 'sealed', from: 3, leaves: [leaf] },
  { kind: 'checkpoint', note: 'origin\n4\nroot\n\n— origin signature\n' },
  { kind: 'leaf', index: 3, ...leaf },
  { kind: 'entry', eventId: 'event-1', body: Buffer.from('{}') },
  { kind: 'entry', eventId: 'event-2', body: null },
  { kind: 'end', leaves: 4 },
  { kind: 'end', leaves: 4, endedAt: '2026-01-01T00:01:00.000Z' },
];

describe('the lines of an export and of the append-only copy', () => {
  it.each(LINES)('are read as they were written: $kind', (line) => {
    const text = formatAuditLine(line);
    expect(text).not.toContain('\n');
    expect(parseAuditLine(text)).toEqual(line);
  });

  it.each(['', '{', '[]', '{"kind":"other"}', '{"kind":"leaf","index":-1}', '{"kind":"sealed","from":0,"leaves":[1]}'])(
    'are none when they are %j',
    (text) => {
      expect(parseAuditLine(text)).toBeUndefined();
    },
  );

  it('keep a leaf that is none: it is in the log, whoever has put it there', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(31), Buffer.from('text')]) {
      const line: AuditLine = { kind: 'leaf', index: 0, ...leaf, leaf: bytes };
      expect(parseAuditLine(formatAuditLine(line))).toEqual(line);
    }
    expect(leafEventId({})).toBe('');
    expect(leafEventId({ ce_id: 'x'.repeat(1_000) })).toHaveLength(128);
  });
});

describe('a seal in Kafka', () => {
  it('is the leaves and then the checkpoint, in the one partition, and read as the lines that they are', () => {
    const records = sealRecords({ from: 3, leaves: [leaf] }, 'a note', '/test');
    expect(records.map(({ topic, partition }) => [topic, partition])).toEqual([
      [AUDIT_CHECKPOINTS, 0],
      [AUDIT_CHECKPOINTS, 0],
    ]);
    expect(records.map(({ headers, value }) => sealLine(headers!, Buffer.from(value!)))).toEqual([
      { kind: 'sealed', from: 3, leaves: [leaf] },
      { kind: 'checkpoint', note: 'a note' },
    ]);
  });

  it('is neither when its type or its value is another', () => {
    expect(sealLine({}, Buffer.from('a note'))).toBeUndefined();
    expect(sealLine({ ce_type: 'audit.sealed-leaves.v1' }, Buffer.from('a note'))).toBeUndefined();
    expect(sealLine({ ce_type: 'audit.sealed-leaves.v1' }, null)).toBeUndefined();
  });
});
