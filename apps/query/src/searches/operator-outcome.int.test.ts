import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import type { OperatorSearchRecord } from '#domain/operator-search.js';
import { OperatorOutcomes } from './operator-outcome.js';
import { newId, operatorSearch, received } from './search-events-for-tests.js';
import { refusalOf, SearchesForTests } from './searches-for-tests.js';

const officer: Actor = { id: 'officer-1', roles: ['officer'] };
const CONFIRMED = { rank: 1, notes: 'Her sister came and named her.' };
const NONE = { rank: null, notes: 'Another person: gave her name later.' };

let searches: SearchesForTests;
let outcomes: OperatorOutcomes;

beforeAll(async () => {
  searches = await SearchesForTests.open();
  outcomes = new OperatorOutcomes(searches.view, searches.audit, searches.publisher, searches.dispositionOf);
});
afterAll(() => searches.close());

/** Its one candidate's image is named after it. */
async function answered(): Promise<SearchId> {
  const id = newId();
  await searches.publish(operatorSearch(id, 0, officer.id, [`image-of-${id}`]));
  return id;
}

function recorded(id: SearchId): OperatorSearchRecord['outcome'] {
  const viewed = searches.view.get(id);
  return viewed?.kind === 'operator' ? viewed.search.outcome : null;
}

describe('the outcome of an operator-initiated search', () => {
  it('is on record when the answer comes, and in the audit before that', async () => {
    const id = await answered();
    await outcomes.record(officer, id, CONFIRMED, undefined);
    expect(recorded(id)).toMatchObject({ ...CONFIRMED, by: officer.id, imageId: `image-of-${id}` });
    const [entry, ...others] = await searches.audited(id);
    expect(others).toEqual([]);
    expect(entry).toMatchObject({
      operation: 'alteration',
      action: 'operator-outcome-recorded',
      actor: officer.id,
      role: 'officer',
      imageIds: [`image-of-${id}`],
      detail: { outcome: 'confirmed' },
    });
  });

  it('is recorded once: whoever comes second is told what is on record', async () => {
    const id = await answered();
    await outcomes.record(officer, id, NONE, undefined);
    expect(await refusalOf(() => outcomes.record(officer, id, CONFIRMED, undefined))).toEqual({
      code: 'OUTCOME_ALREADY_RECORDED',
      details: { version: 2, at: recorded(id)!.at, rank: null },
    });
    expect(recorded(id)).toMatchObject(NONE);
  });

  it('is one also when two come at once: the log’s order decides, and the loser is told', async () => {
    const id = await answered();
    const codes = await Promise.all(
      [CONFIRMED, NONE].map((outcome) => codeOfAsync(() => outcomes.record(officer, id, outcome, undefined))),
    );
    expect(codes.filter((code) => code === undefined)).toHaveLength(1);
    expect(codes).toContain('OUTCOME_ALREADY_RECORDED');
    expect(recorded(id)).toMatchObject(codes[0] === undefined ? CONFIRMED : NONE);
  });

  it('is repeated under its key without harm, and another one under the same key is refused', async () => {
    const id = await answered();
    const key = randomUUID();
    await outcomes.record(officer, id, CONFIRMED, key);
    const first = recorded(id);
    await outcomes.record(officer, id, CONFIRMED, key);
    expect(recorded(id)).toEqual(first);
    expect(await codeOfAsync(() => outcomes.record(officer, id, NONE, key))).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(await codeOfAsync(() => outcomes.record(officer, id, CONFIRMED, randomUUID()))).toBe(
      'OUTCOME_ALREADY_RECORDED',
    );
    expect(await searches.audited(id)).toHaveLength(1);
  });

  it('is for the officer who made the search, of a search that an officer made', async () => {
    const id = await answered();
    const other: Actor = { id: 'officer-2', roles: ['officer'] };
    expect(await codeOfAsync(() => outcomes.record(other, id, CONFIRMED, undefined))).toBe('NOT_YOUR_SEARCH');
    expect(await codeOfAsync(() => outcomes.record(officer, newId(), CONFIRMED, undefined))).toBe('SEARCH_NOT_FOUND');
    const retrospective = newId();
    await searches.publish(received(retrospective, 0, officer.id));
    expect(await codeOfAsync(() => outcomes.record(officer, retrospective, NONE, undefined))).toBe('SEARCH_NOT_FOUND');
    expect(recorded(id)).toBeNull();
  });

  it('is never somebody whose image was withdrawn', async () => {
    const id = await answered();
    searches.withdraw(`image-of-${id}`);
    expect(await codeOfAsync(() => outcomes.record(officer, id, CONFIRMED, undefined))).toBe('CANDIDATE_WITHDRAWN');
    await outcomes.record(officer, id, NONE, undefined);
    expect(recorded(id)).toMatchObject({ rank: null });
  });
});
