import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import type { GovernanceDecision } from '#domain/governance.js';
import type { ModelId } from '#domain/ids.js';
import { parseAuthorisedForm, parseThresholdsForm, parseThresholdVersion } from './governance-forms.js';
import { encodeGovernanceDecision, governanceDecisionHeaders, parseGovernanceDecision } from './governance-record.js';

const base = { decisionId: 'd-1', by: 'alice', role: 'threshold-approver', reason: 'A new evaluation' } as const;
const modelId = '00112233aabbccdd' as ModelId;
const thresholds = {
  evaluation: { reportSha256: '0a'.repeat(32), description: 'Measured on custody images' },
  profiles: [
    { modelId, kind: 'operator', bands: [{ enrolledMax: 10, score: 0.4, fpir: 0.01, fnir: null, groups: [] }] },
  ],
} as const;

const decisions: readonly GovernanceDecision[] = [
  { ...base, type: 'SEARCH_SUSPENDED', kind: 'operator', authority: 'Chief Constable' },
  { ...base, type: 'SUSPENSION_LIFTED', kind: 'retrospective', authority: 'Chief Constable' },
  {
    ...base,
    role: 'system',
    type: 'THRESHOLDS_DEPLOYED',
    thresholds: { version: 2, ...thresholds },
    fileSha256: '0b'.repeat(32),
  },
  { ...base, type: 'THRESHOLDS_PROPOSED', thresholds },
  { ...base, type: 'THRESHOLDS_APPROVED', version: 3 },
  { ...base, type: 'OVERRIDE_PROPOSED', modelId, authority: 'Chief Constable' },
  { ...base, type: 'OVERRIDE_APPROVED', overrideId: 'd-0' },
  { ...base, type: 'OVERRIDE_ENDED', overrideId: 'd-0' },
];

describe('a governance record', () => {
  it.each(decisions)('of $type is read as it was written', (decision) => {
    expect(parseGovernanceDecision(encodeGovernanceDecision(decision))).toEqual(decision);
    expect(governanceDecisionHeaders(decision, '/query')).toMatchObject({
      ce_type: `governance.decision.v1.${decision.type}`,
      ce_subject: 'd-1',
    });
  });

  it.each<[string, object]>([
    ['a type that nobody knows', { ...base, type: 'SEARCH_ALLOWED' }],
    ['a kind that is not offered', { ...decisions[0], kind: 'live' }],
    ['a role that nobody has', { ...decisions[0], role: 'chief' }],
    ['nobody who decided', { ...decisions[0], by: '' }],
    ['no model', { ...decisions[5], modelId: 'default' }],
  ])('with %s is none', (_, record) => {
    expect(codeOf(() => parseGovernanceDecision(Buffer.from(JSON.stringify(record))))).toBe('RECORD_SCHEMA');
  });

  it('that is deleted is none', () => {
    expect(codeOf(() => parseGovernanceDecision(null))).toBe('RECORD_NOT_JSON');
  });
});

describe('a form', () => {
  it('of a decision needs a reason in words and an authority', () => {
    const good = { reason: 'Errors were reported', authority: 'Chief Constable' };
    expect(parseAuthorisedForm(good)).toEqual(good);
    for (const bad of [
      {},
      { ...good, reason: '         x         ' },
      { ...good, authority: '' },
      { ...good, more: 1 },
    ]) {
      expect(
        codeOf(() => parseAuthorisedForm(bad)),
        JSON.stringify(bad),
      ).toBe('BAD_REQUEST');
    }
  });

  it('of thresholds holds the set and the reason, and nothing that nobody knows', () => {
    const form = { reason: 'A new evaluation', ...thresholds };
    expect(parseThresholdsForm(form)).toEqual({ reason: 'A new evaluation', thresholds });
    expect(codeOf(() => parseThresholdsForm({ ...form, version: 9 }))).toBe('BAD_REQUEST');
  });

  it.each(['0', '-1', '1.5', 'x', '', '1e3', '99999999999'])('names no version with %j', (text) => {
    expect(codeOf(() => parseThresholdVersion(text))).toBe('THRESHOLDS_NOT_FOUND');
    expect(parseThresholdVersion('12')).toBe(12);
  });
});
