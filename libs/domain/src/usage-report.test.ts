import { describe, expect, it } from 'vitest';
import type { OperatorSearchRecord } from './operator-search.js';
import type { RetrospectiveSearch } from './retrospective-search.js';
import {
  OPERATOR_USE_OUTCOMES,
  RETROSPECTIVE_USE_OUTCOMES,
  UsageTally,
  useOfOperatorSearch,
  useOfRetrospectiveSearch,
  type SearchUse,
} from './usage-report.js';

const FEW = 5;

function operatorSearch(candidates: number, rank: number | null | undefined): OperatorSearchRecord {
  return {
    at: '2026-03-31T23:59:59.000Z',
    grounds: 'missing',
    answer: { candidates: Array.from({ length: candidates }, () => ({ aboveThreshold: true })) },
    outcome: rank === undefined ? null : { rank },
  } as unknown as OperatorSearchRecord;
}

function retrospective(state: string, more: object = {}): RetrospectiveSearch {
  return {
    state,
    receivedAt: '2026-04-01T00:00:00.000Z',
    request: { source: 'cctv' },
    answer: { candidates: [{ aboveThreshold: false }, { aboveThreshold: true }] },
    decisions: [],
    ...more,
  } as unknown as RetrospectiveSearch;
}

const officer = (outcome: string): object => ({ stage: 'officer', outcome, rank: 1 });
const operator = (outcome: string): object => ({ stage: 'operator', outcome });

describe('the use of an operator-initiated search', () => {
  it.each([
    [2, 1, { hit: true, outcome: 'confirmed', wrongLead: false }],
    [2, null, { hit: true, outcome: 'none', wrongLead: true }],
    [2, undefined, { hit: true, outcome: 'missing', wrongLead: false }],
    [0, null, { hit: false, outcome: 'none', wrongLead: false }],
    [0, undefined, { hit: false, outcome: 'missing', wrongLead: false }],
  ])('with %i candidates, of which the officer recorded %j, is %j', (candidates, rank, use) => {
    expect(useOfOperatorSearch(operatorSearch(candidates, rank))).toEqual({
      kind: 'operator',
      ground: 'missing',
      month: '2026-03',
      ...use,
    });
  });
});

describe('the use of a retrospective search', () => {
  it.each<[string, object, string]>([
    ['SEARCHING', { answer: undefined }, 'open'],
    ['OPERATOR_REVIEW', {}, 'open'],
    ['OFFICER_REVIEW', { decisions: [operator('possible-match')] }, 'open'],
    ['NO_CANDIDATES', {}, 'no-candidates'],
    ['FAILED', {}, 'failed'],
    ['NO_MATCH', { decisions: [operator('no-match')] }, 'no-match'],
    [
      'INCONCLUSIVE',
      { decisions: [operator('possible-match'), { stage: 'peer', outcome: 'inconclusive' }] },
      'inconclusive',
    ],
    ['REJECTED', { decisions: [operator('possible-match'), officer('reject')] }, 'rejected'],
    ['SUSPECT_ADDED', { decisions: [operator('possible-match'), officer('add-suspect')] }, 'suspect-added'],
    ['CLOSED', { decisions: [operator('possible-match'), officer('add-suspect')] }, 'suspect-added'],
    ['CLOSED', { decisions: [operator('possible-match'), officer('reject')] }, 'rejected'],
    ['CLOSED', { decisions: [operator('no-match')] }, 'no-match'],
    ['CLOSED', { answer: { candidates: [] } }, 'no-candidates'],
    ['CLOSED', { answer: undefined, failure: { code: 'NO_FACE', detail: '' } }, 'failed'],
    ['CLOSED', { answer: undefined }, 'failed'],
    // The suspect's image was erased: the officer looks again.
    ['OFFICER_REVIEW', { decisions: [operator('possible-match'), officer('add-suspect')] }, 'open'],
  ])('in %s with %j counts as %s', (state, more, outcome) => {
    expect(useOfRetrospectiveSearch(retrospective(state, more)).outcome).toBe(outcome);
  });

  it('is a hit when anybody reached the threshold, and a wrong lead once an officer rejected somebody', () => {
    expect(useOfRetrospectiveSearch(retrospective('OPERATOR_REVIEW'))).toEqual({
      kind: 'retrospective',
      ground: 'cctv',
      month: '2026-04',
      hit: true,
      outcome: 'open',
      wrongLead: false,
    });
    const below = { answer: { candidates: [{ aboveThreshold: false }] } };
    expect(useOfRetrospectiveSearch(retrospective('OPERATOR_REVIEW', below)).hit).toBe(false);
    const changed = { decisions: [officer('reject'), officer('add-suspect')] };
    expect(useOfRetrospectiveSearch(retrospective('SUSPECT_ADDED', changed)).wrongLead).toBe(true);
    const noMatch = { decisions: [operator('no-match')] };
    expect(useOfRetrospectiveSearch(retrospective('NO_MATCH', noMatch)).wrongLead).toBe(false);
  });
});

describe('the report', () => {
  const use: SearchUse = {
    kind: 'operator',
    ground: 'missing',
    month: '2026-03',
    hit: true,
    outcome: 'confirmed',
    wrongLead: false,
  };

  function rowsOf(uses: readonly Partial<SearchUse>[], suppressBelow = 0): ReturnType<UsageTally['rows']> {
    const tally = new UsageTally();
    for (const changed of uses) tally.add({ ...use, ...changed });
    return tally.rows(suppressBelow);
  }

  const times = (count: number, changed: Partial<SearchUse> = {}): Partial<SearchUse>[] =>
    Array.from({ length: count }, () => changed);

  it('has a row for each month, kind and ground, in this order, with every outcome of the kind', () => {
    const rows = rowsOf([
      { month: '2026-04' },
      { ground: 'wanted-by-court', hit: false, outcome: 'none' },
      { kind: 'retrospective', ground: 'cctv', outcome: 'rejected', wrongLead: true },
      {},
    ]);
    expect(rows.map(({ month, kind, ground, searches }) => [month, kind, ground, searches])).toEqual([
      ['2026-03', 'operator', 'missing', 1],
      ['2026-03', 'operator', 'wanted-by-court', 1],
      ['2026-03', 'retrospective', 'cctv', 1],
      ['2026-04', 'operator', 'missing', 1],
    ]);
    expect(rows[1]).toMatchObject({ hits: 0, wrongLeads: 0, outcomes: { confirmed: 0, none: 1, missing: 0 } });
    expect(rows[2]).toMatchObject({ hits: 1, wrongLeads: 1 });
    expect(Object.keys(rows[0]!.outcomes)).toEqual([...OPERATOR_USE_OUTCOMES]);
    expect(Object.keys(rows[2]!.outcomes)).toEqual([...RETROSPECTIVE_USE_OUTCOMES]);
  });

  it('counts every search in exactly one outcome', () => {
    const rows = rowsOf([
      ...times(3),
      ...times(4, { outcome: 'none', wrongLead: true }),
      ...times(2, { outcome: 'missing' }),
    ]);
    expect(rows).toMatchObject([
      { searches: 9, hits: 9, wrongLeads: 4, outcomes: { confirmed: 3, none: 4, missing: 2 } },
    ]);
  });

  it('withholds every detail of a row in which one count is small, because the others give it away', () => {
    const [row] = rowsOf([...times(20), ...times(FEW - 1, { outcome: 'none' })], FEW);
    const withheld = { confirmed: null, none: null, missing: null };
    expect(row).toMatchObject({ searches: 24, hits: null, wrongLeads: null, outcomes: withheld });
  });

  it('withholds what could be worked out from what is left: 3 searches without a hit among 20', () => {
    expect(rowsOf([...times(20), ...times(3, { hit: false })], FEW)).toMatchObject([{ searches: 23, hits: null }]);
  });

  it('does not even tell how many searches there were when they are few', () => {
    expect(rowsOf(times(FEW - 1), FEW)).toMatchObject([{ searches: null, hits: null }]);
    expect(rowsOf(times(FEW), FEW)).toMatchObject([{ searches: FEW, hits: FEW, wrongLeads: 0 }]);
  });

  it('tells everything to whoever asks for it', () => {
    for (const suppressBelow of [0, 1])
      expect(rowsOf(times(1), suppressBelow)).toMatchObject([{ searches: 1, hits: 1 }]);
  });
});
