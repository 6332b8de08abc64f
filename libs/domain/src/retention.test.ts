import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import { CASE_OUTCOMES } from './case-outcome.js';
import type { Disposal, RetentionReview } from './direction.js';
import type { HeldImage } from './held-image.js';
import type { ImageId, Offset, SubjectId } from './ids.js';
import { addMonths, checkRetentionPolicy, dayOf, reviewDateOf, type RetentionPolicy } from './retention.js';

const rule = (months: number, child = months, deleteByRule = false) => ({
  reviewAfterMonths: months,
  childReviewAfterMonths: child,
  deleteByRule,
});
const policy: RetentionPolicy = {
  version: 3,
  effectiveFrom: '2026-01-01',
  authority: 'test',
  outcomes: {
    'no-further-action': rule(0, 0, true),
    acquitted: rule(0),
    charged: rule(12, 6),
    convicted: rule(72, 36),
  },
  withoutOutcome: rule(12, 6),
  lawfulBases: { 'immigration hold': rule(3, 1) },
};
const image: HeldImage = {
  imageId: 'img-1' as ImageId,
  subjectId: 'subject-1' as SubjectId,
  force: 'gwent',
  custodyReference: 'GW/1',
  capturedAt: '2026-02-03',
  sourceOffset: 0 as Offset,
  acceptedAt: '2026-02-05T00:00:00.000Z',
};
const given = { authority: 'court result', reason: 'as the court said', by: 'custody', role: 'service' } as const;
const disposal: Disposal = {
  ...given,
  kind: 'disposal',
  directionId: 'd-1',
  target: { imageIds: [] },
  custodyReference: 'GW/1',
  outcome: 'convicted',
  outcomeOn: '2026-06-30',
  at: '2026-07-01T00:00:00.000Z',
};
const { custodyReference: _ofStay, ...ofNobody } = disposal;
const ofSubject: Disposal = { ...ofNobody, directionId: 'd-2', target: { subjectId: image.subjectId, imageIds: [] } };
const review: RetentionReview = {
  ...given,
  kind: 'review',
  directionId: 'r-1',
  target: { imageIds: [image.imageId] },
  retainUntil: '2029-01-01',
  at: '2026-08-01T00:00:00.000Z',
};
const of = (
  about: Partial<HeldImage> = {},
  disposals: readonly Disposal[] = [],
  reviews: readonly RetentionReview[] = [],
): { on: string; rule: string } => {
  const { on, because } = reviewDateOf(policy, { ...image, ...about }, disposals, reviews);
  return { on, rule: because.rule };
};

describe('the review date of a custody image', () => {
  it('is, while nobody has reported an outcome, the policy’s after it was taken', () => {
    expect(of()).toEqual({ on: '2027-02-03', rule: 'no-outcome-reported' });
    const { capturedAt: _unknown, ...undated } = image;
    expect(reviewDateOf(policy, undated, [], []).on).toBe('2027-02-05');
  });

  it('follows the lawful basis where the policy has a rule for it', () => {
    expect(of({ lawfulBasis: 'immigration hold' })).toEqual({ on: '2026-05-03', rule: 'lawful-basis' });
    for (const lawfulBasis of ['PACE s.64A', 'constructor', '__proto__']) {
      expect(of({ lawfulBasis }).rule).toBe('no-outcome-reported');
    }
  });

  it('is the custody system’s own where it gave one', () => {
    expect(of({ reviewDue: '2032-02-03' })).toEqual({ on: '2032-02-03', rule: 'custody-system' });
    expect(of({ reviewDue: '2026-03-01T00:30:00+01:00' }).on).toBe('2026-02-28');
  });

  it('is earlier for who was under 18, whatever the custody system gave', () => {
    expect(of({ ageBand: '10-17' })).toEqual({ on: '2026-08-03', rule: 'no-outcome-reported' });
    expect(of({ ageBand: '10-17', reviewDue: '2032-02-03' }).on).toBe('2026-08-03');
    expect(of({ ageBand: '10-17', reviewDue: '2026-04-01' }).on).toBe('2026-04-01');
    expect(of({ ageBand: '10-17' }, [disposal]).on).toBe('2029-06-30');
    expect(reviewDateOf(policy, { ...image, ageBand: '10-17' }, [], []).child).toBe(true);
    for (const ageBand of ['18-24', 'unknown'] as const) expect(of({ ageBand }).on).toBe('2027-02-03');
  });

  it.each([
    ['no-further-action', '2026-06-30'],
    ['acquitted', '2026-06-30'],
    ['charged', '2027-06-30'],
    ['convicted', '2032-06-30'],
  ] as const)('counts from the outcome %s, and before the custody system’s day', (outcome, on) => {
    expect(of({ reviewDue: '2050-01-01' }, [{ ...disposal, outcome }])).toEqual({ on, rule: 'outcome' });
  });

  it('follows the outcome of the stay in custody before one of the person, and the newest of either', () => {
    const acquitted = { ...disposal, outcome: 'acquitted' } as const;
    const later = { ...ofSubject, outcome: 'convicted', at: '2027-01-01T00:00:00.000Z' } as const;
    expect(of({}, [acquitted, later]).on).toBe('2026-06-30');
    expect(of({}, [{ ...ofSubject, outcome: 'charged' }, later]).on).toBe('2032-06-30');
    const corrected = { ...disposal, outcome: 'charged', at: '2026-07-02T00:00:00.000Z' } as const;
    expect(of({}, [corrected, acquitted]).on).toBe('2027-06-30');
    expect(of({}, [acquitted, corrected]).on).toBe('2027-06-30');
  });

  it.each<[string, Partial<HeldImage>, Disposal]>([
    ['another person', { subjectId: 'subject-2' as SubjectId }, ofSubject],
    ['another stay', {}, { ...disposal, custodyReference: 'GW/2' }],
    ['another force’s stay', {}, { ...disposal, force: 'dyfed-powys' }],
    ['an earlier case than the image’s', { capturedAt: '2026-07-01' }, disposal],
    ['a stay that the image is not known to be of', { custodyReference: '' }, disposal],
  ])('does not follow the outcome of %s', (_, about, other) => {
    expect(of(about, [other]).rule).toBe('no-outcome-reported');
  });

  it('is what a review decided, until an outcome is reported after it', () => {
    expect(of({ reviewDue: '2026-03-01' }, [disposal], [review])).toEqual({ on: '2029-01-01', rule: 'review' });
    const acquittedLater = { ...disposal, outcome: 'acquitted', at: '2026-09-01T00:00:00.000Z' } as const;
    expect(of({}, [acquittedLater], [review]).rule).toBe('outcome');
    const again = { ...review, directionId: 'r-2', retainUntil: '2028-01-01', at: '2026-08-02T00:00:00.000Z' };
    expect(of({}, [], [again, review]).on).toBe('2028-01-01');
    expect(of({}, [], [{ ...review, target: { imageIds: ['img-2' as ImageId] } }]).rule).toBe('no-outcome-reported');
  });

  it('deletes nothing unless the policy’s rule that decided says so', () => {
    const nfa = { ...disposal, outcome: 'no-further-action' } as const;
    expect(reviewDateOf(policy, image, [nfa], []).deleteByRule).toBe(true);
    expect(reviewDateOf(policy, image, [disposal], []).deleteByRule).toBe(false);
    expect(reviewDateOf(policy, image, [nfa], [review]).deleteByRule).toBe(false);
    const loose = { ...policy, withoutOutcome: rule(1, 1, true) };
    expect(reviewDateOf(loose, { ...image, reviewDue: '2030-01-01' }, [], []).deleteByRule).toBe(false);
  });

  it('names the policy’s version, whatever decided', () => {
    for (const [disposals, reviews] of [
      [[], []],
      [[disposal], []],
      [[], [review]],
    ] as const) {
      expect(reviewDateOf(policy, image, disposals, reviews).policyVersion).toBe(3);
    }
  });

  it('counts from when an image came here where nobody can read when it was taken', () => {
    for (const capturedAt of ['yesterday', '2026-13-45', '']) {
      expect(reviewDateOf(policy, { ...image, capturedAt }, [], []).on).toBe('2027-02-05');
    }
  });

  it('does not depend on the order in which anything is known', () => {
    const all = CASE_OUTCOMES.flatMap((outcome, i) => [
      { ...disposal, outcome, directionId: `a${i}` },
      { ...ofSubject, outcome, directionId: `b${i}`, at: '2026-10-01T00:00:00.000Z' },
    ]);
    const expected = reviewDateOf(policy, image, all, [review]);
    fc.assert(
      fc.property(fc.shuffledSubarray(all, { minLength: all.length }), (shuffled) => {
        expect(reviewDateOf(policy, image, shuffled, [review])).toEqual(expected);
      }),
    );
  });
});

describe('months after a day', () => {
  it.each([
    ['2026-08-31', 6, '2027-02-28'],
    ['2027-08-31', 6, '2028-02-29'],
    ['2026-01-31', 1, '2026-02-28'],
    ['2026-12-15', 1, '2027-01-15'],
    ['2026-05-31', 0, '2026-05-31'],
    ['2028-02-29', 12, '2029-02-28'],
  ])('of %s and %i are %s', (day, months, expected) => {
    expect(addMonths(day, months)).toBe(expected);
  });

  it('count from the day in UTC', () => {
    expect(dayOf('2026-02-03T23:30:00-01:00')).toBe('2026-02-04');
    expect(dayOf('2026-02-03')).toBe('2026-02-03');
  });
});

describe('a retention policy', () => {
  it('that keeps a child’s image longer than an adult’s is refused', () => {
    expect(checkRetentionPolicy(policy)).toBe(policy);
    expect(codeOf(() => checkRetentionPolicy({ ...policy, withoutOutcome: rule(6, 12) }))).toBe('BAD_RETENTION_POLICY');
    expect(codeOf(() => checkRetentionPolicy({ ...policy, lawfulBases: { x: rule(6, 12) } }))).toBe(
      'BAD_RETENTION_POLICY',
    );
  });
});
