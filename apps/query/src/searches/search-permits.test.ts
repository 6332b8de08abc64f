import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { foldGovernance, NOTHING_DECIDED, SEARCH_KINDS, type GovernanceState } from '#domain/governance.js';
import type { ModelId } from '#domain/ids.js';
import { SearchPermits } from './search-permits.js';

const modelId = '00112233aabbccdd' as ModelId;
const AT = '2026-01-01T00:00:00.000Z';

const deployed = foldGovernance(
  NOTHING_DECIDED,
  {
    type: 'THRESHOLDS_DEPLOYED',
    decisionId: 'd0',
    by: 'query',
    role: 'system',
    reason: 'deployment',
    fileSha256: '',
    thresholds: {
      version: 4,
      evaluation: { reportSha256: '0a'.repeat(32), description: 'measured' },
      profiles: SEARCH_KINDS.map((kind) => ({
        modelId,
        kind,
        bands: [{ enrolledMax: 1000, score: 0.4, fpir: 0.01, fnir: 0.05, groups: [] }],
      })),
    },
  },
  AT,
);
const words = { role: 'threshold-approver', reason: 'an urgent one', authority: 'Chief Constable' } as const;

function overridden(state: GovernanceState, model = modelId): GovernanceState {
  const proposed = foldGovernance(
    state,
    { type: 'OVERRIDE_PROPOSED', decisionId: 'o1', by: 'a', modelId: model, ...words },
    AT,
  );
  return foldGovernance(
    proposed,
    { type: 'OVERRIDE_APPROVED', decisionId: 'o2', by: 'b', overrideId: 'o1', ...words },
    AT,
  );
}

function permits(
  deployment: 'local' | 'production',
  state: GovernanceState = deployed,
  evaluationOnly = false,
): SearchPermits {
  return new SearchPermits({ state }, { modelId, evaluationOnly }, deployment);
}

describe('a search', () => {
  it('of a suspended kind is refused in words that a phone can show, and the other kind goes on', () => {
    const state = foldGovernance(
      deployed,
      { type: 'SEARCH_SUSPENDED', decisionId: 's', by: 'a', kind: 'operator', ...words },
      AT,
    );
    const both = permits('local', state);
    expect(() => both.check('operator')).toThrow(
      expect.objectContaining({
        code: 'SEARCH_SUSPENDED',
        publicText: expect.stringMatching(/^Operator-initiated searches are suspended/) as string,
        details: { kind: 'operator', since: AT },
      }),
    );
    expect(codeOf(() => both.check('retrospective'))).toBeUndefined();
  });

  it('in production needs an approved evaluation for the gallery’s size', () => {
    const strict = permits('production');
    expect(strict.threshold('operator', 1000)).toEqual({ version: 4, score: 0.4, evaluated: true });
    expect(codeOf(() => strict.threshold('operator', 1001))).toBe('MODEL_NOT_APPROVED');
    expect(permits('local').threshold('operator', 1001)).toEqual({ version: 4, score: 0.4, evaluated: false });
  });

  it('in production does not even begin with a model pack that is for evaluation only', () => {
    expect(codeOf(() => permits('production', deployed, true).check('operator'))).toBe('MODEL_NOT_APPROVED');
    expect(codeOf(() => permits('production', deployed, true).threshold('operator', 1))).toBeUndefined();
    expect(codeOf(() => permits('local', deployed, true).check('operator'))).toBeUndefined();
  });

  it('under an override by two people runs, and every answer says so, evaluated or not', () => {
    const override = { decisionId: 'o1', by: ['a', 'b'], since: AT, reason: words.reason };
    for (const deployment of ['local', 'production'] as const) {
      const allowed = permits(deployment, overridden(deployed), true);
      allowed.check('operator');
      expect(allowed.threshold('operator', 1001)).toEqual({ version: 4, score: 0.4, evaluated: false, override });
      expect(allowed.threshold('retrospective', 1)).toMatchObject({ evaluated: true, override });
    }
  });

  it('is not helped by an override of another model', () => {
    const other = overridden(deployed, 'ffffffffffffffff' as ModelId);
    expect(codeOf(() => permits('production', other).threshold('operator', 1001))).toBe('MODEL_NOT_APPROVED');
    expect(permits('local', other).threshold('operator', 1001)).not.toHaveProperty('override');
  });

  it('is told before it is asked for whether it would run', () => {
    expect(permits('production').stateOf('operator', 1)).toEqual({
      allowed: true,
      code: null,
      threshold: { score: 0.4, evaluated: true },
    });
    const refused = { allowed: false, threshold: null };
    expect(permits('production').stateOf('operator', 2000)).toEqual({ ...refused, code: 'MODEL_NOT_APPROVED' });
    expect(permits('local', NOTHING_DECIDED).stateOf('operator', 1)).toEqual({ ...refused, code: 'THRESHOLD_MISSING' });
  });
});
