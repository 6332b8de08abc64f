import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  auditEntry,
  auditLeaf,
  destructionOf,
  destructionStatement,
  encodeAuditEntry,
  parseAuditEntry,
  type AuditStatement,
} from './audit-record.js';

const statement: AuditStatement = {
  operation: 'consultation',
  action: 'operator-search',
  actor: 'officer-1',
  role: 'officer',
  purpose: 'missing',
  subjectIds: ['subject-1'],
};

describe('an audit entry', () => {
  it('says what was stated, with an id, the time and 32 random bytes of salt', () => {
    const entry = auditEntry(statement, new Date('2026-01-01T00:00:00Z'));
    expect(entry).toMatchObject({ ...statement, at: '2026-01-01T00:00:00.000Z' });
    expect(Buffer.from(entry.salt, 'base64')).toHaveLength(32);
    expect(JSON.parse(encodeAuditEntry(entry).toString('utf8'))).toEqual(entry);
  });

  it('has another id, salt and leaf each time, so that equal statements cannot be recognised by their leaves', () => {
    const [one, other] = [auditEntry(statement), auditEntry(statement)];
    expect(one.eventId).not.toBe(other.eventId);
    expect(one.salt).not.toBe(other.salt);
    expect(auditLeaf(encodeAuditEntry(one))).not.toEqual(auditLeaf(encodeAuditEntry(other)));
  });

  it('has as its leaf the SHA-256 of its stored bytes, which changes with every single one of them', () => {
    const bytes = encodeAuditEntry(auditEntry(statement));
    const leaf = auditLeaf(bytes);
    expect(leaf).toEqual(createHash('sha256').update(bytes).digest());
    const leaves = new Set([leaf.toString('hex')]);
    for (let i = 0; i < bytes.length; i++) {
      const changed = Buffer.from(bytes);
      changed[i]! ^= 1;
      leaves.add(auditLeaf(changed).toString('hex'));
    }
    expect(leaves.size).toBe(bytes.length + 1);
  });
});

describe('an audit entry that was read', () => {
  it('is what was written', () => {
    const entry = auditEntry(statement);
    expect(parseAuditEntry(encodeAuditEntry(entry))).toEqual(entry);
  });

  it.each(['', 'no JSON', 'null', '"text"', '{}', '{"eventId":1,"at":"","actor":"","operation":"","action":""}'])(
    'is none when it is %j',
    (text) => {
      expect(parseAuditEntry(Buffer.from(text))).toBeUndefined();
    },
  );

  it.each([
    { subjectIds: 'subject-1' },
    { imageIds: 5 },
    { recipients: [{}] },
    { searchId: {} },
    { system: 1 },
    { detail: null },
    { detail: 'x' },
  ])('is none when somebody has written other things where its ids belong: %j', (other) => {
    expect(parseAuditEntry(Buffer.from(JSON.stringify({ ...auditEntry(statement), ...other })))).toBeUndefined();
  });
});

describe('the entry that ends the retention of others', () => {
  const destruction = { destructionId: 'd-1', belowIndex: 12, entries: 11 };
  const by = { actor: 'dp-1', authority: 'retention schedule', reason: 'the end of their retention' };

  it('says which leaves have no entry any more, and on whose decision', () => {
    const entry = auditEntry(destructionStatement(destruction, by));
    expect(entry).toMatchObject({ operation: 'erasure', actor: 'dp-1', role: 'data-protection' });
    expect(destructionOf(entry)).toEqual(destruction);
  });

  it('is no other entry, whatever its detail says', () => {
    expect(destructionOf(auditEntry({ ...statement, detail: destruction }))).toBeUndefined();
    const { detail: _, ...withoutDetail } = destructionStatement(destruction, by);
    expect(destructionOf(auditEntry(withoutDetail))).toBeUndefined();
  });
});
