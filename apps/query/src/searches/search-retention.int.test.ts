import { randomBytes, randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SearchEvent } from '#contracts/search-record.js';
import { SEARCHES_EVENTS } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { Actor } from '#domain/identity.js';
import { openSearchId } from '#domain/direction.js';
import type { SearchId } from '#domain/ids.js';
import type { FoundAnswer } from '#domain/search-answer.js';
import { DirectionFollower } from '#kafka/direction-follower.js';
import { FolderImageStore } from '#platform/folder-image-store.js';
import { probeName } from '#platform/image-store.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { lastOfKey, readTopic } from '#testkit/topic-for-tests.js';
import { OpenSearchHold } from '../review/open-search-hold.js';
import {
  at,
  found,
  newId,
  operatorSearch,
  outcome,
  publishEvents,
  received,
  started,
} from './search-events-for-tests.js';
import { OPERATOR_RETENTION_DAYS_MIN, SearchRetention } from './search-retention.js';
import { refusalOf, SearchesForTests } from './searches-for-tests.js';

const keeper: Actor = { id: 'dp-1', roles: ['data-protection'] };
const ORDER = { authority: 'MoPI review', reason: 'Acquitted, no appeal' };
const DAY_MS = 24 * 60 * 60 * 1000;

let searches: SearchesForTests;
let images: FolderImageStore;
let directions: DirectionFollower;
let retention: SearchRetention;
let now: Date;

beforeAll(async () => {
  searches = await SearchesForTests.open();
  const keyFile = join(searches.folder, 'key');
  await writeFile(keyFile, randomBytes(32).toString('base64'));
  images = await FolderImageStore.open(join(searches.folder, 'images'), keyFile);
  const { kafka, view, publisher, audit } = searches;
  directions = new DirectionFollower(kafka, silentLog, (error) => {
    throw error;
  });
  await directions.start();
  retention = new SearchRetention(view, images, publisher, audit, directions, () => now);
  now = new Date();
});
afterAll(async () => {
  await directions.close();
  await searches.close();
});

const closed = (searchId: SearchId, version: number): SearchEvent => ({
  type: 'CLOSED',
  searchId,
  version,
  at: at(version),
  by: 'op-1',
});

const none = (searchId: SearchId): SearchEvent =>
  ({ ...found(searchId, 3, 'x'), type: 'NO_CANDIDATES_FOUND' }) as SearchEvent;

const REVIEWED = 8;
/** From its receipt to its end, with somebody added as a suspect. */
function reviewed(searchId: SearchId): { readonly events: readonly SearchEvent[]; readonly answer: FoundAnswer } {
  const answered = found(searchId, 3, 'x', [`i-${searchId}`]);
  const one = (version: number) => ({ searchId, version, at: at(version), by: 'op-1' });
  const events: readonly SearchEvent[] = [
    received(searchId),
    started(searchId),
    answered,
    { ...one(4), type: 'CANDIDATE_VIEWED', rank: 1 },
    { ...one(5), type: 'OPERATOR_DECIDED', outcome: 'possible-match', rank: 1, features: 'Same scar, same ears.' },
    { ...one(6), type: 'REVIEW_REQUESTED', stage: 'officer', investigatingOfficer: 'io-1' },
    { ...one(7), type: 'OFFICER_DECIDED', outcome: 'add-suspect', rank: 1, corroboration: 'Fingerprints.' },
    closed(searchId, REVIEWED),
  ];
  return { events, answer: (answered as { answer: FoundAnswer }).answer };
}

/** Of the suspect: opens a closed search again. */
const withdrawn = (searchId: SearchId): SearchEvent => ({
  type: 'CANDIDATE_WITHDRAWN',
  searchId,
  version: REVIEWED + 1,
  at: at(REVIEWED + 1),
  by: 'query',
  rank: 1,
  reason: 'erased',
  investigatingOfficer: 'io-1',
});

async function untilForgotten(id: SearchId): Promise<void> {
  await eventually(() => {
    expect(searches.view.get(id)).toBeUndefined();
    expect(searches.view.eventKeys(id)).toEqual([]);
  });
}

describe('the end of a search’s retention', () => {
  it('leaves nothing of it: no probe, no row, and a null for each record of it in the log', async () => {
    const id = newId();
    await images.put(probeName(id), Buffer.from('probe'));
    const late = { ...none(id), at: at(40) };
    await searches.publish(received(id), started(id), none(id), late, closed(id, 4));
    expect(await retention.end(keeper, id, ORDER)).toEqual({ searchId: id, eventsForgotten: 5 });
    await untilForgotten(id);
    expect(await images.get(probeName(id))).toBeUndefined();
    for (const file of ['searches.sqlite', 'searches.sqlite-wal']) {
      expect((await readFile(join(searches.folder, file))).includes(id), file).toBe(false);
    }
    const records = await readTopic(searches.kafka, SEARCHES_EVENTS);
    const last = [...lastOfKey(records)].filter(([key]) => key.startsWith(id));
    expect(last).toHaveLength(5);
    expect(last.map(([, { value }]) => value)).toEqual(Array(5).fill(null));
    expect(await codeOfAsync(() => retention.end(keeper, id, ORDER))).toBe('SEARCH_NOT_FOUND');
  });

  it('is in the audit, with whose data it was, who ordered it and why', async () => {
    const id = newId();
    await searches.publish(operatorSearch(id, 0, 'officer-1', [`i-${id}`]), outcome(id, 1));
    await retention.end(keeper, id, ORDER);
    expect(await searches.audited(id)).toMatchObject([
      {
        operation: 'erasure',
        action: 'search-retention-ended',
        actor: keeper.id,
        role: 'data-protection',
        purpose: ORDER.authority,
        justification: ORDER.reason,
        imageIds: [`i-${id}`],
        detail: { proceedingsEnded: true, events: 2 },
      },
    ]);
  });

  it('comes only after a retrospective search is closed', async () => {
    const id = newId();
    await searches.publish(received(id), started(id), none(id));
    expect(await refusalOf(() => retention.end(keeper, id, ORDER))).toEqual({
      code: 'SEARCH_NOT_CLOSED',
      details: { state: 'NO_CANDIDATES' },
    });
    expect(await searches.audited(id)).toEqual([]);
  });

  it('comes only when an officer’s search has been counted and its outcome had its time', async () => {
    const id = newId();
    await searches.publish(operatorSearch(id, 0));
    const notBefore = new Date(Date.parse(at(0)) + OPERATOR_RETENTION_DAYS_MIN * DAY_MS);
    now = new Date(notBefore.getTime() - 1);
    expect(await refusalOf(() => retention.end(keeper, id, ORDER))).toEqual({
      code: 'SEARCH_TOO_RECENT',
      details: { notBefore: notBefore.toISOString() },
    });
    now = notBefore;
    await retention.end(keeper, id, ORDER);
    await untilForgotten(id);
  });

  it('forgets a request that was refused', async () => {
    const id = newId();
    const refused = { type: 'REQUEST_REFUSED', searchId: id, version: 1, at: at(0), by: 'query', code: 'X' } as const;
    await searches.publish({ ...refused, detail: 'd', source: { partition: 0, offset: 4 as never } });
    await retention.end(keeper, id, ORDER);
    await untilForgotten(id);
  });

  it('is finished by asking again when only a part of the nulls came through', async () => {
    const id = newId();
    await searches.publish(received(id), started(id), none(id), closed(id, 4));
    const [first] = searches.view.eventKeys(id);
    await searches.forget(id, first!);
    expect(searches.view.get(id)).toBeUndefined();
    expect(await retention.end(keeper, id, ORDER)).toMatchObject({ eventsForgotten: 3 });
    await untilForgotten(id);
  });

  it('is refused for a search that was opened again, also where this replica has not read that', async () => {
    const id = newId();
    await searches.publish(...reviewed(id).events);
    // Not waited for: the view has not read it when it is asked.
    await publishEvents(searches.publisher, withdrawn(id));
    const { view, publisher, audit } = searches;
    expect(view.get(id)).toMatchObject({ search: { state: 'CLOSED' } });
    const readAlready = { upToDate: () => Promise.resolve(), get: () => undefined };
    const ending = new SearchRetention(view, images, publisher, audit, readAlready);
    expect(await codeOfAsync(() => ending.end(keeper, id, ORDER))).toBe('SEARCH_NOT_CLOSED');
  });

  it('forgets what its owner wrote meanwhile, because a withdrawal opened it again, and holds nothing', async () => {
    const id = newId();
    const { events, answer } = reviewed(id);
    await searches.publish(...events);
    const { view, publisher, audit } = searches;
    let rounds = 0;
    const overtaken = {
      publish: publisher.publish.bind(publisher),
      publishAll: async (...nulls: Parameters<typeof publisher.publishAll>) => {
        if (rounds++ === 0) {
          await publishEvents(publisher, withdrawn(id));
          await new OpenSearchHold(publisher).begin(id, answer);
        }
        return publisher.publishAll(...nulls);
      },
    };
    const ending = new SearchRetention(view, images, overtaken, audit, directions);
    expect(await ending.end(keeper, id, ORDER)).toEqual({ searchId: id, eventsForgotten: REVIEWED + 1 });
    expect(view.eventKeys(id)).toEqual([]);
    await directions.upToDate();
    expect(directions.get(openSearchId(id))).toBeUndefined();
  });

  it('ends what is held for a search of which nothing else is left', async () => {
    const id = newId();
    await new OpenSearchHold(searches.publisher).begin(id, reviewed(id).answer);
    expect(await retention.end(keeper, id, ORDER)).toEqual({ searchId: id, eventsForgotten: 0 });
    await directions.upToDate();
    expect(directions.get(openSearchId(id))).toBeUndefined();
    expect(await codeOfAsync(() => retention.end(keeper, id, ORDER))).toBe('SEARCH_NOT_FOUND');
  });

  it('is refused for what never was', async () => {
    expect(await codeOfAsync(() => retention.end(keeper, randomUUID() as SearchId, ORDER))).toBe('SEARCH_NOT_FOUND');
  });
});
