import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { checkRetentionPolicy } from '#domain/retention.js';
import { parseDisposalForm, parseReviewForm, parseReviewsDueQuery, retentionPolicySchema } from './retention-forms.js';

const why = { reason: 'As the custody system reports.', authority: 'Retention policy 1' };
const now = new Date('2026-06-30T22:00:00Z');

describe('the outcome of a case', () => {
  const form = { custodyReference: 'GW/1', outcome: 'acquitted', at: '2026-06-30T10:00:00+01:00', ...why };

  it('is of a person or of a stay in custody, on the day that the case came to it', () => {
    const { at: _at, ...rest } = form;
    expect(parseDisposalForm(form, now)).toEqual({ ...rest, outcomeOn: '2026-06-30' });
    expect(parseDisposalForm({ ...form, force: 'gwent' }, now)).toMatchObject({ force: 'gwent' });
    const { custodyReference: _reference, ...ofNobody } = form;
    expect(parseDisposalForm({ ...ofNobody, subjectId: 's-1' }, now)).toMatchObject({ subjectId: 's-1' });
  });

  it.each<[string, Record<string, unknown>]>([
    ['BAD_REQUEST', { subjectId: 's-1' }],
    ['BAD_REQUEST', { custodyReference: undefined }],
    ['BAD_REQUEST', { custodyReference: undefined, subjectId: 's-1', force: 'gwent' }],
    ['BAD_REQUEST', { outcome: 'released' }],
    ['BAD_REQUEST', { at: '2026-07-01' }],
    ['BAD_REQUEST', { at: 'yesterday' }],
    ['BAD_REQUEST', { reason: 'typo' }],
    ['BAD_REQUEST', { authority: undefined }],
    ['BAD_SUBJECT_ID', { custodyReference: undefined, subjectId: 'Jane Doe' }],
  ])('is refused with %s for %j', (code, change) => {
    expect(codeOf(() => parseDisposalForm({ ...form, ...change }, now))).toBe(code);
  });
});

describe('the decision of a review', () => {
  const form = { imageId: 'img-1', decision: 'retain', retainUntil: '2029-06-30', ...why };

  it('keeps until a day that is to come, retires or erases', () => {
    expect(parseReviewForm(form, now)).toEqual(form);
    const { retainUntil: _until, ...rest } = form;
    expect(parseReviewForm({ ...rest, decision: 'retire' }, now)).toEqual({ ...rest, decision: 'retire' });
    expect(parseReviewForm({ ...rest, decision: 'erase' }, now)).toMatchObject({ decision: 'erase' });
    expect(parseReviewForm({ ...form, imageId: undefined, subjectId: 's-1' }, now)).toMatchObject({ subjectId: 's-1' });
  });

  it.each<[string, Record<string, unknown>]>([
    ['BAD_REQUEST', { subjectId: 's-1' }],
    ['BAD_REQUEST', { imageId: undefined }],
    ['BAD_REQUEST', { retainUntil: undefined }],
    ['BAD_REQUEST', { retainUntil: '2026-06-30' }],
    ['BAD_REQUEST', { retainUntil: '2036-07-01' }],
    ['BAD_REQUEST', { retainUntil: '2026-02-30' }],
    ['BAD_REQUEST', { decision: 'retire' }],
    ['BAD_REQUEST', { decision: 'keep' }],
    ['BAD_IMAGE_ID', { imageId: 'a b' }],
  ])('is refused with %s for %j', (code, change) => {
    expect(codeOf(() => parseReviewForm({ ...form, ...change }, now))).toBe(code);
  });
});

describe('the list of reviews that are due', () => {
  it('is, when no day is named, of what is due by today', () => {
    expect(parseReviewsDueQuery({}, now)).toEqual({ before: '2026-07-01', cursor: undefined, limit: 50 });
    expect(parseReviewsDueQuery({ before: '2027-01-01', limit: '5' }, now)).toMatchObject({
      before: '2027-01-01',
      limit: 5,
    });
    expect(codeOf(() => parseReviewsDueQuery({ before: 'soon' }, now))).toBe('BAD_REQUEST');
  });
});

describe('the retention policy of the deployment', () => {
  it('can be read, deletes nothing by rule, and reviews a child’s image no later than an adult’s', async () => {
    const policy = retentionPolicySchema.parse(JSON.parse(await readFile('deploy/retention-policy.json', 'utf8')));
    checkRetentionPolicy(policy);
    const rules = [...Object.values(policy.outcomes), policy.withoutOutcome, ...Object.values(policy.lawfulBases)];
    expect(rules.map(({ deleteByRule }) => deleteByRule)).not.toContain(true);
  });

  it('that misses an outcome or names an unknown one is refused', async () => {
    const policy = JSON.parse(await readFile('deploy/retention-policy.json', 'utf8')) as { outcomes: object };
    const { charged: _charged, ...incomplete } = policy.outcomes as { charged: object };
    expect(retentionPolicySchema.safeParse({ ...policy, outcomes: incomplete }).success).toBe(false);
    const { charged } = policy.outcomes as { charged: object };
    expect(
      retentionPolicySchema.safeParse({ ...policy, outcomes: { ...policy.outcomes, released: charged } }).success,
    ).toBe(false);
  });
});
