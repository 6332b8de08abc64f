import { describe, expect, it } from 'vitest';
import { codeOf } from './codes-for-tests.js';
import {
  foldGovernance,
  NOTHING_DECIDED,
  overrideInForce,
  SEARCH_KINDS,
  thresholdsInForce,
  type GovernanceDecision,
  type GovernanceState,
} from './governance.js';
import type { ModelId } from './ids.js';
import type { ThresholdContents } from './threshold.js';

type Unsigned<D> = D extends unknown ? Omit<D, 'decisionId' | 'role' | 'reason'> : never;

const model = '00112233aabbccdd' as ModelId;
const other = 'ffeeddccbbaa9988' as ModelId;

function contents(score: number): ThresholdContents {
  const band = { enrolledMax: 100, score, fpir: 0.01, fnir: 0.05, groups: [] };
  return {
    evaluation: { reportSha256: 'ab'.repeat(32), description: 'Measured on custody images of the force.' },
    profiles: [{ modelId: model, kind: 'operator', bands: [band] }],
  };
}

const unmeasured: ThresholdContents = {
  ...contents(0.4),
  profiles: [
    { modelId: model, kind: 'operator', bands: [{ enrolledMax: 1, score: 0.4, fpir: null, fnir: null, groups: [] }] },
  ],
};

/** The decisions in the log's order, numbered; each is at the second of its number. */
function decision(step: Unsigned<GovernanceDecision>, number: number): GovernanceDecision {
  return { ...step, decisionId: `d${number}`, role: 'threshold-approver', reason: `reason ${number}` };
}

function at(number: number): string {
  return new Date(Date.UTC(2026, 0, 1, 0, 0, number)).toISOString();
}

/** As a replica does: what is refused changes nothing, and the rest goes on. */
function foldAll(...steps: readonly Unsigned<GovernanceDecision>[]): { state: GovernanceState; refused: string[] } {
  let state = NOTHING_DECIDED;
  const refused: string[] = [];
  steps.forEach((step, i) => {
    const code = codeOf(() => (state = foldGovernance(state, decision(step, i), at(i))));
    refused.push(code ?? '');
  });
  return { state, refused };
}

const suspend = (by: string, kind: 'operator' | 'retrospective' = 'operator') =>
  ({ type: 'SEARCH_SUSPENDED', kind, by, authority: 'court order' }) as const;
const lift = (by: string, kind: 'operator' | 'retrospective' = 'operator') =>
  ({ type: 'SUSPENSION_LIFTED', kind, by, authority: 'court order' }) as const;
const deployed = (version = 2, score = 0.4) =>
  ({
    type: 'THRESHOLDS_DEPLOYED',
    by: 'query',
    thresholds: { version, ...contents(score) },
    fileSha256: 'cd'.repeat(32),
  }) as const;
const propose = (by: string, score: number) =>
  ({ type: 'THRESHOLDS_PROPOSED', by, thresholds: contents(score) }) as const;
const approve = (by: string, version: number) => ({ type: 'THRESHOLDS_APPROVED', by, version }) as const;
const override = (by: string, modelId = model) =>
  ({ type: 'OVERRIDE_PROPOSED', by, modelId, authority: 'Chief Constable' }) as const;
const approveOverride = (by: string, overrideId: string) => ({ type: 'OVERRIDE_APPROVED', by, overrideId }) as const;
const endOverride = (by: string, overrideId: string) => ({ type: 'OVERRIDE_ENDED', by, overrideId }) as const;

describe('a suspension', () => {
  it.each(SEARCH_KINDS)('of %s searches takes one person, and leaves the other kind alone', (kind) => {
    const { state } = foldAll(suspend('a', kind));
    expect([...state.suspensions.keys()]).toEqual([kind]);
    expect(state.suspensions.get(kind)).toEqual({
      kind,
      since: at(0),
      by: 'a',
      reason: 'reason 0',
      authority: 'court order',
      lifting: null,
    });
  });

  it('is lifted by two different people, and holds until the second', () => {
    const first = foldAll(suspend('a'), lift('b'));
    expect(first.state.suspensions.get('operator')?.lifting).toEqual({ by: 'b', at: at(1), reason: 'reason 1' });
    const second = foldAll(suspend('a'), lift('b'), lift('c'));
    expect(second).toMatchObject({ refused: ['', '', ''] });
    expect(second.state.suspensions.size).toBe(0);
  });

  it('counts no one twice', () => {
    const { state, refused } = foldAll(suspend('a'), lift('b'), lift('b'), lift('b'));
    expect(refused).toEqual(['', '', 'APPROVER_NOT_DISTINCT', 'APPROVER_NOT_DISTINCT']);
    expect(state.suspensions.has('operator')).toBe(true);
  });

  it('lets whoever suspended be one of the two, and never both', () => {
    expect(foldAll(suspend('a'), lift('a'), lift('b')).state.suspensions.size).toBe(0);
    expect(foldAll(suspend('a'), lift('a'), lift('a')).state.suspensions.size).toBe(1);
  });

  it('that is repeated keeps its beginning, and lifting begins again', () => {
    const { state, refused } = foldAll(suspend('a'), lift('b'), suspend('c'), lift('d'));
    expect(refused).toEqual(['', '', '', '']);
    expect(state.suspensions.get('operator')).toMatchObject({ since: at(0), by: 'c', lifting: { by: 'd' } });
  });

  it('that is not there cannot be lifted, nor with the lifting of another kind', () => {
    const { state, refused } = foldAll(
      lift('a'),
      suspend('a'),
      lift('b', 'retrospective'),
      lift('b'),
      lift('c'),
      lift('d'),
    );
    expect(refused).toEqual(['NOT_SUSPENDED', '', 'NOT_SUSPENDED', '', '', 'NOT_SUSPENDED']);
    expect(state.suspensions.size).toBe(0);
  });
});

describe('thresholds', () => {
  it('of the deployment are in force until two people decide otherwise, and are never taken again', () => {
    const { state, refused } = foldAll(deployed(2), deployed(3, 0.9), deployed(2));
    expect(refused).toEqual(['', 'THRESHOLDS_DEPLOYED_BEFORE', 'THRESHOLDS_DEPLOYED_BEFORE']);
    expect(thresholdsInForce(state)).toMatchObject({ version: 2, profiles: contents(0.4).profiles });
    expect(state.thresholds.get(2)).toMatchObject({ state: 'in-force', fileSha256: 'cd'.repeat(32) });
  });

  it('are changed by one person who proposes and another who approves', () => {
    const proposed = foldAll(deployed(2), propose('a', 0.5));
    expect(thresholdsInForce(proposed.state)?.version).toBe(2);
    expect(proposed.state.thresholds.get(3)).toMatchObject({
      state: 'proposed',
      proposed: { by: 'a' },
      approved: null,
    });
    const { state } = foldAll(deployed(2), propose('a', 0.5), approve('b', 3));
    expect(thresholdsInForce(state)).toMatchObject({ version: 3, profiles: contents(0.5).profiles });
    expect(state.thresholds.get(2)).toMatchObject({ state: 'replaced' });
    expect(state.thresholds.get(3)).toMatchObject({ approved: { by: 'b', at: at(2), reason: 'reason 2' } });
  });

  it.each(['a', 'A', ' a', 'ａ'])('are not approved by whoever proposed them: %j', (again) => {
    const { state, refused } = foldAll(deployed(2), propose('a', 0.5), approve(again, 3));
    expect(refused.at(-1)).toBe('APPROVER_NOT_DISTINCT');
    expect(thresholdsInForce(state)?.version).toBe(2);
  });

  it('get the next number in the log’s order, whoever proposes at the same time', () => {
    const { state } = foldAll(deployed(7), propose('a', 0.5), propose('b', 0.6), approve('c', 8));
    expect([...state.thresholds].map(([version, { state: standing }]) => [version, standing])).toEqual([
      [7, 'replaced'],
      [8, 'in-force'],
      [9, 'proposed'],
    ]);
  });

  it('lapse when a later proposal came into force first, so that nothing older returns unseen', () => {
    const { state, refused } = foldAll(
      deployed(2),
      propose('a', 0.5),
      propose('a', 0.6),
      approve('b', 4),
      approve('b', 3),
      approve('b', 4),
    );
    expect(refused.slice(-2)).toEqual(['THRESHOLDS_NOT_PROPOSED', 'THRESHOLDS_NOT_PROPOSED']);
    expect(state.thresholds.get(3)?.state).toBe('lapsed');
    expect(thresholdsInForce(state)?.version).toBe(4);
  });

  it('that do not exist are not approved, and what is no threshold set is not proposed', () => {
    const { refused } = foldAll(deployed(2), approve('a', 9), {
      type: 'THRESHOLDS_PROPOSED',
      by: 'a',
      thresholds: unmeasured,
    });
    expect(refused).toEqual(['', 'THRESHOLDS_NOT_FOUND', 'THRESHOLDS_INVALID']);
  });

  it('of the deployment may say that a rate was not measured', () => {
    const { state } = foldAll({
      type: 'THRESHOLDS_DEPLOYED',
      by: 'query',
      thresholds: { version: 1, ...unmeasured },
      fileSha256: '',
    });
    expect(thresholdsInForce(state)?.version).toBe(1);
  });

  it('are none before the first decision', () => {
    expect(thresholdsInForce(NOTHING_DECIDED)).toBeUndefined();
  });
});

describe('an override', () => {
  it('takes two people, is of one model, and says who, when and why', () => {
    const proposed = foldAll(override('a'));
    expect(overrideInForce(proposed.state, model)).toBeUndefined();
    const { state } = foldAll(override('a'), approveOverride('b', 'd0'));
    expect(overrideInForce(state, other)).toBeUndefined();
    expect(overrideInForce(state, model)).toEqual({
      decisionId: 'd0',
      by: ['a', 'b'],
      since: at(1),
      reason: 'reason 0',
    });
  });

  it('is not approved by whoever asked for it, nor twice, nor when there is none', () => {
    const { state, refused } = foldAll(
      override('a'),
      approveOverride('a', 'd0'),
      approveOverride('b', 'd9'),
      approveOverride('b', 'd0'),
      approveOverride('c', 'd0'),
    );
    expect(refused).toEqual(['', 'APPROVER_NOT_DISTINCT', 'OVERRIDE_NOT_FOUND', '', 'OVERRIDE_NOT_PROPOSED']);
    expect(overrideInForce(state, model)?.by).toEqual(['a', 'b']);
  });

  it.each(['a', 'b', 'c'])('is ended by one person, whoever it is (%s), for good', (who) => {
    const { state, refused } = foldAll(
      override('a'),
      approveOverride('b', 'd0'),
      endOverride(who, 'd0'),
      endOverride('d', 'd0'),
      approveOverride('d', 'd0'),
      endOverride('d', 'd7'),
    );
    expect(refused).toEqual(['', '', '', 'OVERRIDE_ENDED_BEFORE', 'OVERRIDE_NOT_PROPOSED', 'OVERRIDE_NOT_FOUND']);
    expect(overrideInForce(state, model)).toBeUndefined();
  });

  it('that is only proposed can be ended too', () => {
    expect(foldAll(override('a'), endOverride('a', 'd0'), approveOverride('b', 'd0')).refused.at(-1)).toBe(
      'OVERRIDE_NOT_PROPOSED',
    );
  });
});

describe('which gallery is searched', () => {
  const third = '0123456789abcdef' as ModelId;
  const turn = (from: ModelId, to: ModelId, lacking = 0) =>
    ({ type: 'GALLERY_SWITCHED', by: 'a', from, to, lacking }) as const;
  const retire = (modelId: ModelId, inForce: ModelId) =>
    ({ type: 'GALLERY_RETIRED', by: 'a', modelId, inForce }) as const;
  const destroyed = (modelId: ModelId) => ({ type: 'GALLERY_DESTROYED', by: 'b', modelId }) as const;

  it('is what the deployment names until somebody switches, and then what was switched to last', () => {
    expect(NOTHING_DECIDED.gallery).toBeNull();
    const { state, refused } = foldAll(turn(model, other, 3), turn(other, model), turn(model, other, 4));
    expect(refused).toEqual(['', '', '']);
    const switched = { by: 'a', at: at(2), reason: 'reason 2' };
    expect(state.gallery).toEqual({ modelId: other, from: model, lacking: 4, switched });
  });

  it('is not changed by whoever checked against another one than is in force now', () => {
    const { state, refused } = foldAll(turn(model, other), turn(model, third), turn(other, other), turn(third, other));
    expect(refused).toEqual(['', 'GALLERY_SWITCHED_MEANWHILE', 'GALLERY_IN_FORCE', 'GALLERY_IN_FORCE']);
    expect(state.gallery?.modelId).toBe(other);
  });

  it('is never one that is to be destroyed', () => {
    const { state, refused } = foldAll(retire(other, model), turn(model, other), retire(other, model));
    expect(refused).toEqual(['', 'GALLERY_RETIRED_BEFORE', 'GALLERY_RETIRED_BEFORE']);
    expect(state.gallery).toBeNull();
  });

  it('cannot be retired, whatever whoever retires it takes for the one in force', () => {
    expect(foldAll(retire(model, model)).refused).toEqual(['GALLERY_IN_FORCE']);
    expect(foldAll(turn(model, other), retire(other, model)).refused).toEqual(['', 'GALLERY_IN_FORCE']);
  });

  it('can be built again after it was destroyed, which is for what was retired alone', () => {
    const { refused } = foldAll(destroyed(other), retire(other, model), destroyed(other), turn(model, other));
    expect(refused).toEqual(['GALLERY_NOT_RETIRED', '', '', '']);
  });
});

it('a decision that is written twice counts once, and one that was refused may come again', () => {
  const first = decision(suspend('a'), 0);
  const state = foldGovernance(NOTHING_DECIDED, first, at(0));
  expect(codeOf(() => foldGovernance(state, first, at(1)))).toBe('DECISION_REPEATED');
  const lifting = decision(lift('b'), 1);
  expect(codeOf(() => foldGovernance(NOTHING_DECIDED, lifting, at(0)))).toBe('NOT_SUSPENDED');
  expect(foldGovernance(state, lifting, at(1)).suspensions.get('operator')?.lifting?.by).toBe('b');
});

it('a fold never changes the state that it was given', () => {
  const { state } = foldAll(deployed(2), suspend('a'), override('a'), propose('a', 0.5));
  const before = structuredClone(state);
  for (const step of [lift('b'), suspend('b'), approve('b', 3), approveOverride('b', 'd2'), propose('c', 0.6)]) {
    foldGovernance(state, decision(step, 99), at(99));
  }
  expect(state).toEqual(before);
});
