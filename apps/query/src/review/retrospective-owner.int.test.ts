import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { searchEventEnd } from '#contracts/search-record.js';
import { SEARCHES_REQUESTS } from '#contracts/topics.js';
import { openSearchId } from '#domain/direction.js';
import type { ImageId, SearchId } from '#domain/ids.js';
import type { RetrospectiveState } from '#domain/retrospective-search.js';
import { probeName } from '#platform/image-store.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { ReviewForTests, type ReviewReplica } from './review-for-tests.js';

const operator = { id: 'op-1', roles: ['operator'] } as const;
const officer = { id: 'io-1', roles: ['investigating-officer'] } as const;
const WORDS = 'Same scar over the left eyebrow, same ear lobes; the nose differs a little.';

let tests: ReviewForTests;
let one: ReviewReplica;

beforeAll(async () => {
  tests = await ReviewForTests.start();
  one = await tests.replica();
});
afterAll(async () => {
  await tests.close();
  expect(tests.fatal).toEqual([]);
});

const newImage = (): ImageId => `img-${randomUUID()}` as ImageId;
const shows = (id: SearchId, state: RetrospectiveState): Promise<void> =>
  eventually(() => expect(one.search(id)?.state).toBe(state));

/** With an assertion that nobody signed. */
async function requestRefused(id: SearchId): Promise<void> {
  const refusals = (await tests.events(id)).filter(({ type }) => type === 'REQUEST_REFUSED').length;
  await tests.client.publisher().publish({ topic: SEARCHES_REQUESTS, key: id, value: Buffer.from('{}'), headers: {} });
  await eventually(async () => {
    const events = await tests.events(id);
    expect(events.filter(({ type }) => type === 'REQUEST_REFUSED')).toHaveLength(refusals + 1);
  });
}

describe('a request that is refused', () => {
  it('leaves no probe behind that an earlier delivery of it has stored', async () => {
    const id = randomUUID() as SearchId;
    await tests.probes.put(probeName(id), Buffer.from('{}'));
    await requestRefused(id);
    expect(await tests.probes.get(probeName(id))).toBeUndefined();
  });

  it('leaves the probe of a search that is there, under whose id it came', async () => {
    const id = await tests.request({ candidates: [newImage()] });
    await shows(id, 'CANDIDATES');
    await requestRefused(id);
    expect(await tests.probes.get(probeName(id))).toBeDefined();
    await shows(id, 'CANDIDATES');
  });
});

describe('a search that a withdrawal opens again', () => {
  it('is held no longer when its retention ends before the hold begins', async () => {
    const image = newImage();
    const id = await tests.request({ candidates: [image] });
    await shows(id, 'CANDIDATES');
    await one.decide(id, operator, { type: 'VIEW_CANDIDATE', rank: 1 });
    await one.decide(id, operator, { type: 'OPERATOR_DECISION', outcome: 'possible-match', rank: 1, features: WORDS });
    await shows(id, 'OFFICER_REVIEW');
    await one.decide(id, officer, { type: 'VIEW_CANDIDATE', rank: 1 });
    await one.decide(id, officer, { type: 'OFFICER_DECISION', outcome: 'add-suspect', corroboration: WORDS });
    await one.decide(id, officer, { type: 'CLOSE' });
    const hold = openSearchId(id);
    await one.directions.upToDate();
    await eventually(() => expect(one.directions.get(hold)).toBeUndefined());

    let ended = false;
    const seen: boolean[] = [];
    one.directions.onChange(() => seen.push(one.directions.get(hold) !== undefined));
    tests.beforeHold.set(hold, async () => {
      if (ended) return;
      ended = true;
      const nulls = one.view.eventKeys(id).map((key) => searchEventEnd(id, key, '/test'));
      await tests.client.publisher().publishAll(nulls);
    });
    await tests.dispose(image);
    await eventually(() => expect(seen).toContain(true));
    await eventually(() => expect(one.directions.get(hold)).toBeUndefined());
    expect(one.search(id)).toBeUndefined();
  });
});
