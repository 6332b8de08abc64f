import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { auditEntry, auditLeaf, encodeAuditEntry, type AuditStatement } from './audit-record.js';

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
