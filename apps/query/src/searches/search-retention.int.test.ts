import { randomBytes, randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SearchEvent } from '#contracts/search-record.js';
import { SEARCHES_EVENTS } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import { FolderImageStore } from '#platform/folder-image-store.js';
import { probeName } from '#platform/image-store.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { lastOfKey, readTopic } from '#testkit/topic-for-tests.js';
import { at, found, newId, operatorSearch, outcome, received, started } from './search-events-for-tests.js';
import { OPERATOR_RETENTION_DAYS_MIN, SearchRetention } from './search-retention.js';
import { refusalOf, SearchesForTests } from './searches-for-tests.js';

const keeper: Actor = { id: 'dp-1', roles: ['data-protection'] };
const ORDER = { authority: 'MoPI review', reason: 'Acquitted, no appeal' };
const DAY_MS = 24 * 60 * 60 * 1000;

let searches: SearchesForTests;
let images: FolderImageStore;
let retention: SearchRetention;
let now: Date;

beforeAll(async () => {
  searches = await SearchesForTests.open();
  const keyFile = join(searches.folder, 'key');
  await writeFile(keyFile, randomBytes(32).toString('base64'));
  images = await FolderImageStore.open(join(searches.folder, 'images'), keyFile);
  const { view, publisher, audit } = searches;
  retention = new SearchRetention(view, images, publisher, audit, () => now);
  now = new Date();
});
afterAll(() => searches.close());

const closed = (searchId: SearchId, version: number): SearchEvent => ({
  type: 'CLOSED',
  searchId,
  version,
  at: at(version),
  by: 'op-1',
});

const none = (searchId: SearchId): SearchEvent =>
  ({ ...found(searchId, 3, 'x'), type: 'NO_CANDIDATES_FOUND' }) as SearchEvent;

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

  it('is refused for what never was', async () => {
    expect(await codeOfAsync(() => retention.end(keeper, randomUUID() as SearchId, ORDER))).toBe('SEARCH_NOT_FOUND');
  });
});
