import { describe, expect, it } from 'vitest';
import { accessReport, type AuditedUse, type FoundInSearch, type SubjectFacts } from './access-report.js';
import type { HeldImage } from './held-image.js';
import type { ImageId, Offset, SearchId, SubjectId } from './ids.js';
import type { ReviewDate } from './retention.js';

const subjectId = 'subject-asking' as SubjectId;
const image: HeldImage = {
  imageId: 'img-own' as ImageId,
  subjectId,
  force: 'gwent',
  lawfulBasis: 'PACE s.64A',
  sourceOffset: 7 as Offset,
  acceptedAt: '2026-02-03T00:00:00.000Z',
};
const review: ReviewDate = {
  on: '2027-02-03',
  because: { rule: 'no-outcome-reported' },
  policyVersion: 1,
  child: false,
  deleteByRule: false,
};
const search: FoundInSearch = {
  searchId: '6b1f6e3e-0000-4000-8000-000000000001' as SearchId,
  kind: 'operator',
  at: '2026-03-01T00:00:00.000Z',
  grounds: 'missing',
  offence: null,
  rank: 2,
  aboveThreshold: true,
  imageId: image.imageId,
  outcome: 'not-confirmed',
  isOpen: false,
};
/** Of a search that returned two people, as it is in the audit. */
const use: AuditedUse = {
  index: 11,
  eventId: 'e-11',
  at: '2026-03-01T00:00:01.000Z',
  operation: 'disclosure',
  action: 'operator-search-answered',
  actor: 'pc-1234',
  role: 'officer',
  searchId: search.searchId,
  subjectIds: ['subject-other', subjectId],
  imageIds: ['img-other', image.imageId],
  recipients: ['pc-1234'],
};
const facts: SubjectFacts = {
  subjectId,
  images: [{ image, review, suppression: undefined, holds: [] }],
  searches: [search],
  subjectOf: (id) => (id === image.imageId ? subjectId : undefined),
  uses: [use],
  usesCutOff: false,
};
const report = (about: Partial<SubjectFacts> = {}): ReturnType<typeof accessReport> =>
  accessReport({ ...facts, ...about }, '2026-04-01T00:00:00.000Z');

describe('an access report', () => {
  it('says which images are held and why, which searches returned them, and who was shown it when', () => {
    expect(report()).toMatchObject({
      subjectId,
      images: [{ imageId: 'img-own', lawfulBasis: 'PACE s.64A', reviewOn: '2027-02-03', searchable: true }],
      searches: [{ searchId: search.searchId, grounds: 'missing', rank: 2, imageId: 'img-own' }],
      accesses: [{ role: 'officer', by: 'person 1', recipients: ['person 1'], auditIndex: 11 }],
      changes: [],
    });
  });

  it('says nothing of the others that a search returned, nor of who the officer is', () => {
    const text = JSON.stringify(report());
    for (const secret of ['subject-other', 'img-other', 'pc-1234']) expect(text).not.toContain(secret);
  });

  it('gives the same person the same number, and another one another', () => {
    const again = { ...use, index: 12, at: '2026-03-02T00:00:00.000Z' };
    const other = { ...use, index: 13, at: '2026-03-03T00:00:00.000Z', actor: 'op-9', role: 'operator' };
    const { accesses } = report({ uses: [use, again, other] });
    expect(accesses.map(({ by }) => by)).toEqual(['person 1', 'person 2', 'person 2']);
    expect(accesses[0]!.recipients).toEqual(['person 2']);
  });

  it('names an image of the past only where the entry is about this person and that image alone', () => {
    const erased = { ...use, operation: 'erasure', action: 'erasure', subjectIds: [subjectId], imageIds: ['img-gone'] };
    expect(report({ uses: [erased] }).changes[0]!.imageIds).toEqual(['img-gone']);
    const bulk = { ...erased, imageIds: ['img-gone', 'img-other'] };
    expect(report({ uses: [bulk] }).changes[0]!.imageIds).toEqual([]);
    const batch = { ...erased, subjectIds: [subjectId, 'subject-other'] };
    expect(report({ uses: [batch] }).changes[0]!.imageIds).toEqual([]);
  });

  it('does not name an image that a search returned under this person and that is another one’s by now', () => {
    const { searches } = report({ searches: [{ ...search, imageId: 'img-other' as ImageId }] });
    expect(searches).toMatchObject([{ searchId: search.searchId, imageId: null }]);
  });

  it('keeps what was done with the data apart from who looked at it, newest first', () => {
    const collected = {
      ...{ ...use, operation: 'collection', action: 'images-enrolled', at: '2026-02-03T00:00:00.000Z' },
      ...{ actor: '/custody-suite', role: 'system', system: '/custody-suite', recipients: [] },
    };
    const later = { ...use, at: '2026-03-05T00:00:00.000Z', action: 'candidate-image-shown' };
    const { accesses, changes } = report({ uses: [collected, use, later] });
    expect(accesses.map(({ action }) => action)).toEqual(['candidate-image-shown', 'operator-search-answered']);
    expect(changes).toMatchObject([{ action: 'images-enrolled', by: '/custody-suite' }]);
  });

  it('says why an image is kept out of searches, by which authority, and not in whose words', () => {
    const suppression = {
      kind: 'restriction',
      directionId: 'd-1',
      target: { imageIds: [image.imageId] },
      authority: 'DPA 2018 s.47',
      reason: 'Disputed by John Doe of 1 High Street',
      by: 'dp-1',
      role: 'data-protection',
      at: '2026-03-01T00:00:00.000Z',
    } as const;
    const holds = [{ directionId: 'h-1', kind: 'evidence-hold' } as const];
    const told = report({ images: [{ image, review, suppression, holds }] });
    expect(told.images[0]).toMatchObject({
      searchable: false,
      suppressed: { kind: 'restricted', authority: 'DPA 2018 s.47' },
      erasureForbiddenBy: ['evidence-hold'],
    });
    expect(JSON.stringify(told)).not.toMatch(/John Doe|dp-1/);
  });

  it('warns of searches that are open, and of entries that were cut off', () => {
    expect(report({ searches: [{ ...search, isOpen: true }] }).notes.join(' ')).toContain('s.45(4)');
    expect(report({ usesCutOff: true }).notes.join(' ')).toContain('more audit entries');
    expect(report().notes.join(' ')).not.toContain('s.45(4)');
  });
});
