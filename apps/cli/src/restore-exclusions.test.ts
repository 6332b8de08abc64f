import { describe, expect, it } from 'vitest';
import { dispositionRecord } from '#contracts/disposition-record.js';
import { templateHeaders } from '#contracts/template-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES, galleryTemplates } from '#contracts/topics.js';
import type { Disposition, DispositionKind } from '#domain/disposition.js';
import type { ImageId, ModelId, Offset, SubjectId } from '#domain/ids.js';
import { custodyImageName, probeName } from '#platform/image-store.js';
import type { BackedUpRecord } from './backup-contents.js';
import type { BackupStream } from './backup-manifest.js';
import { RestoreExclusions } from './restore-exclusions.js';
import { startsOf } from './restore-plan.js';

const at = (n: number): Offset => n as Offset;
const id = 'img-1' as ImageId;
const modelId = '0123456789abcdef' as ModelId;
const templates = galleryTemplates(modelId);

function logged(key: string, value: Buffer | null, rest: Partial<BackedUpRecord> = {}): BackedUpRecord {
  return { key: Buffer.from(key), value, headers: {}, timestampMs: 0, partition: 3, offset: at(0), ...rest };
}

function decision(kind: DispositionKind, sourceOffset: number): BackedUpRecord {
  const said: Disposition = {
    imageId: id,
    kind,
    since: '2026-01-01T00:00:00.000Z',
    authority: 'a',
    reason: 'r',
    sourceOffset: at(sourceOffset),
  };
  return logged(id, dispositionRecord(id, said, '/test').value as Buffer);
}

function template(sourceOffset: number): BackedUpRecord {
  const source = { sourceOffset: at(sourceOffset), acceptedAtMs: 0 };
  const metadata = { imageId: id, subjectId: 'p' as SubjectId };
  return logged(id, Buffer.alloc(8), { headers: templateHeaders({ modelId, metadata, source }, '/test') });
}

function decided(...records: readonly BackedUpRecord[]): RestoreExclusions {
  const exclusions = new RestoreExclusions('/test');
  for (const record of records) exclusions.decide(record);
  return exclusions;
}

describe('what is erased', () => {
  const exclusions = decided(decision('erased', 10));

  it('comes back as the tombstone of its template, and what was enrolled later as it was', () => {
    expect(exclusions.restorable(templates, template(10))).toMatchObject({ key: Buffer.from(id), value: null });
    const later = template(11);
    expect(exclusions.restorable(templates, later)).toBe(later);
  });

  it('comes back neither as a photograph that waits to be handled nor as an object', () => {
    const photograph = (offset: number): BackedUpRecord => logged(id, Buffer.from('jpeg'), { offset: at(offset) });
    expect(exclusions.restorable(CUSTODY_IMAGES, photograph(10))).toBeUndefined();
    expect(exclusions.restorable(CUSTODY_IMAGES, photograph(11))).toBeDefined();
    expect(exclusions.restorable(CUSTODY_IMAGES, logged(id, null))).toBeDefined();
    expect(exclusions.restorableObject(custodyImageName(id, at(10)))).toBe(false);
    expect(exclusions.restorableObject(custodyImageName(id, at(11)))).toBe(true);
    expect(exclusions.restorableObject(custodyImageName('img-2' as ImageId, at(1)))).toBe(true);
    expect(exclusions.restorableObject(probeName('s' as never))).toBe(true);
  });

  it('stays erased below a restriction that came later, and when that is lifted', () => {
    const restricted = decided(decision('erased', 10), decision('restricted', 40));
    const lifted = decided(decision('erased', 10), decision('restricted', 40), logged(id, null));
    for (const one of [restricted, lifted]) expect(one.restorable(templates, template(10))?.value).toBeNull();
    for (const one of [restricted, lifted]) expect(one.restorable(templates, template(12))?.value).not.toBeNull();
  });

  it('changes nothing in any other topic', () => {
    const outcome = logged(id, Buffer.from('{}'));
    expect(exclusions.restorable(CUSTODY_OUTCOMES, outcome)).toBe(outcome);
  });
});

describe('where a restored log begins', () => {
  const stream = (name: string): BackupStream => ({
    name,
    cutAt: '2026-01-01T00:00:00.000Z',
    ends: { 0: 100, 3: 200 },
    next: { 0: 100, 3: 200 },
    records: { 0: 40 },
    lastObject: null,
    done: true,
  });
  const exclusions = decided(decision('restricted', 5), decision('erased', 950));
  const beyond = (partition: number): Offset => exclusions.beyondDecisions(partition);

  it('is so that it ends where it ended', () => {
    expect(startsOf(stream(templates), beyond, 1_000)).toEqual({ 0: 60, 3: 200 });
  });

  it('is, of the images, beyond everything that a decision, or a photograph since, may be about', () => {
    expect(startsOf(stream(CUSTODY_IMAGES), beyond, 1_000)).toEqual({ 0: 1_100, 3: 1_951 });
  });
});
