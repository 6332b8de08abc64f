import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, it } from 'vitest';
import type { SearchListFilter } from '#contracts/search-forms.js';
import { codeOf } from '#domain/codes-for-tests.js';
import { foldOperator, type OperatorSearchEvent } from '#domain/operator-search.js';
import type { RetrospectiveEvent } from '#domain/retrospective-events.js';
import { foldRetrospective } from '#domain/retrospective-search.js';
import { at, newId, operatorSearch, outcome, received, started } from './search-events-for-tests.js';
import { SEARCH_SCHEMA, SearchTables, type SearchScope, type SearchSummary } from './search-tables.js';

let tables: SearchTables;

beforeEach(() => {
  const db = new DatabaseSync(':memory:');
  db.exec(SEARCH_SCHEMA);
  tables = new SearchTables(db);
});

/** As the view does it. */
function put(...events: readonly (OperatorSearchEvent | RetrospectiveEvent)[]): void {
  for (const event of events) {
    const known = tables.get(event.searchId);
    if (event.type === 'OPERATOR_SEARCH_ANSWERED' || event.type === 'OPERATOR_OUTCOME_RECORDED') {
      const before = known?.kind === 'operator' ? known.search : undefined;
      tables.put({ kind: 'operator', search: foldOperator(before, event) });
    } else {
      const before = known?.kind === 'retrospective' ? known.search : undefined;
      tables.put({ kind: 'retrospective', search: foldRetrospective(before, event) });
    }
  }
}

function listAll(limit = 200, filter: SearchListFilter = {}, scopes: readonly SearchScope[] = [{}]): SearchSummary[] {
  const all: SearchSummary[] = [];
  let cursor: string | undefined;
  do {
    const page = tables.list({ filter, cursor, limit }, scopes);
    expect(page.searches.length).toBeLessThanOrEqual(limit);
    all.push(...page.searches);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return all;
}

describe('the list of searches', () => {
  it('covers all by its cursor, newest first, without a repeat or a gap, also where many have the same time', () => {
    const events = Array.from({ length: 23 }, (_, i) => {
      const second = Math.floor(i / 7);
      return i % 3 === 0 ? operatorSearch(newId(), second) : received(newId(), second);
    });
    put(...events);
    const whole = listAll(200);
    expect(whole.map(({ searchId }) => searchId).sort()).toEqual(events.map(({ searchId }) => searchId).sort());
    const order = whole.map(({ receivedAt, searchId }) => `${receivedAt} ${searchId}`);
    expect(order).toEqual([...order].sort().reverse());
    for (const limit of [1, 2, 7, 22, 23, 24]) expect(listAll(limit), `limit ${limit}`).toEqual(whole);
  });

  it('shows only what is asked for: kind, state, people, time, grounds, case and outcome', () => {
    const [a, b, c, d, e] = [newId(), newId(), newId(), newId(), newId()];
    const events = [
      received(a, 1),
      received(b, 2),
      started(b),
      operatorSearch(c, 3),
      operatorSearch(d, 4),
      outcome(d, null),
    ];
    put(...events, received(e, 5, 'somebody-else'));
    const ids = (filter: SearchListFilter, scopes?: readonly SearchScope[]): string[] =>
      listAll(1, filter, scopes).map(({ searchId }) => searchId);
    expect(ids({})).toEqual([e, d, c, b, a]);
    expect(ids({ kind: 'operator' })).toEqual([d, c]);
    expect(ids({ kind: 'retrospective' })).toEqual([e, b, a]);
    expect(ids({ state: 'SEARCHING' })).toEqual([b]);
    expect(ids({ by: 'op-1' })).toEqual([b, a]);
    expect(ids({ by: 'nobody' })).toEqual([]);
    expect(ids({ officer: 'io-1' })).toEqual([e, b, a]);
    expect(ids({ officer: 'io-2' })).toEqual([]);
    expect(ids({ from: at(2), to: at(4) })).toEqual([c, b]);
    expect(ids({ grounds: 'missing' })).toEqual([d, c]);
    expect(ids({ grounds: 'age' })).toEqual([]);
    expect(ids({ crimeReference: 'CR/1' })).toEqual([e, b, a]);
    expect(ids({ crimeReference: 'CR/2' })).toEqual([]);
    expect(ids({ outcome: 'missing' })).toEqual([c]);
    expect(ids({ outcome: 'recorded' })).toEqual([d]);
    expect(ids({ kind: 'retrospective', outcome: 'missing' })).toEqual([]);
  });

  it('never goes beyond what somebody may see, whatever is asked for', () => {
    const [a, b, c] = [newId(), newId(), newId()];
    put(received(a, 1), received(b, 2, 'op-2'), operatorSearch(c, 3));
    const ids = (filter: SearchListFilter, scopes: readonly SearchScope[]): string[] =>
      listAll(1, filter, scopes).map(({ searchId }) => searchId);
    expect(ids({}, [])).toEqual([]);
    expect(ids({}, [{ kind: 'operator', by: 'officer-1' }])).toEqual([c]);
    expect(ids({ by: 'op-2' }, [{ kind: 'operator', by: 'officer-1' }])).toEqual([]);
    expect(ids({ kind: 'retrospective' }, [{ kind: 'operator', by: 'officer-1' }])).toEqual([]);
    const both = [
      { kind: 'operator', by: 'officer-1' },
      { by: 'op-2', officer: 'io-1' },
    ] as const;
    expect(ids({}, both)).toEqual([c, b]);
    expect(ids({ kind: 'operator' }, both)).toEqual([c]);
  });

  it('says of each search whose it is and what came of it', () => {
    const [a, b, c] = [newId(), newId(), newId()];
    put(received(a), operatorSearch(b), operatorSearch(c), outcome(c, 1));
    const rows = new Map(listAll().map((row) => [row.searchId, row]));
    expect(rows.get(a)).toMatchObject({
      investigatingOfficer: 'io-1',
      crimeReference: 'CR/1',
      grounds: null,
      outcome: null,
    });
    expect(rows.get(b)).toMatchObject({ state: 'ANSWERED', version: 1, grounds: 'missing', outcome: 'missing' });
    expect(rows.get(c)).toMatchObject({
      state: 'OUTCOME_RECORDED',
      version: 2,
      outcome: 'confirmed',
      updatedAt: at(50),
    });
  });

  it('refuses a cursor that it did not give, and a limit that it does not take', () => {
    const query = { filter: {}, cursor: undefined, limit: 10 };
    for (const cursor of ['x', '', 'bnVsbA', Buffer.from('[1,2]').toString('base64url')]) {
      expect(
        codeOf(() => tables.list({ ...query, cursor }, [{}])),
        cursor,
      ).toBe('BAD_CURSOR');
    }
    for (const limit of [0, -1, 201])
      expect(
        codeOf(() => tables.list({ ...query, limit }, [{}])),
        `${limit}`,
      ).toBe('BAD_LIMIT');
  });
});
