import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { partitionFor } from '#contracts/murmur2.js';
import { searchEventHeaders, searchEventKey, type SearchEvent } from '#contracts/search-record.js';
import { desiredTopics, SEARCH_PARTITIONS, SEARCHES_EVENTS } from '#contracts/topics.js';
import { codeOf, codeOfAsync } from '#domain/codes-for-tests.js';
import type { ModelId, Offset, SearchId } from '#domain/ids.js';
import type { FoundAnswer } from '#domain/search-answer.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { RecordPosition } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Log } from '#platform/log.js';
import { clientForTests } from '#testkit/kafka-test-helpers.js';
import { SearchView, type SearchSummary } from './search-view.js';

const LAYOUT_OF_ANOTHER_VERSION = 999;
const WITHIN_MS = 10_000;

let kafka: KafkaClient;
let publisher: Publisher;
let home: string;
let file: string;
let operator: string;
const open: SearchView[] = [];
const warnings: string[] = [];
const log: Log = { debug() {}, info() {}, error() {}, warn: (event) => void warnings.push(event) };
const fatal: unknown[] = [];

beforeAll(async () => {
  kafka = clientForTests();
  publisher = kafka.publisher();
  const topics = desiredTopics({ modelId: 'a0d170a0d170a0d1' as ModelId, profile: 'local', replication: 1 });
  await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => name === SEARCHES_EVENTS));
  home = await mkdtemp(join(tmpdir(), 'search-view-'));
});
afterAll(async () => {
  await kafka.close();
  await rm(home, { recursive: true });
});
beforeEach(() => {
  file = join(home, randomUUID(), 'searches.sqlite');
  // Other searches may be in the topic: each test looks at those of its own operator.
  operator = `op-${randomUUID()}`;
  warnings.length = 0;
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((view) => view.close()));
  expect(fatal).toEqual([]);
});

async function openView(): Promise<SearchView> {
  const view = await SearchView.open(kafka, file, log, (error) => void fatal.push(error));
  open.push(view);
  await view.caughtUp();
  return view;
}

async function close(view: SearchView): Promise<void> {
  open.splice(open.indexOf(view), 1);
  await view.close();
}

const newId = (): SearchId => randomUUID() as SearchId;

function at(second: number): string {
  return new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
}

function answer(searchId: SearchId, mark: string): FoundAnswer {
  return { searchId, complete: true, candidates: [], completedAt: mark } as unknown as FoundAnswer;
}

function received(searchId: SearchId, second = 0, by = operator): SearchEvent {
  return {
    type: 'RECEIVED',
    searchId,
    version: 1,
    at: at(second),
    by,
    operator: by,
    request: {
      crimeReference: 'CR/1',
      offence: 'byrgleriaeth ŵ',
      source: 'cctv',
      justification: 'Seen on the camera at the time.',
      investigatingOfficer: 'io-1',
      limit: 20,
    },
    probeSha256: 'ab',
    rulesVersion: 1,
  };
}

const started = (searchId: SearchId, version = 2): SearchEvent => ({
  type: 'SEARCH_STARTED',
  searchId,
  version,
  at: at(version),
  by: 'query',
});

const found = (searchId: SearchId, version: number, mark: string): SearchEvent => ({
  type: 'CANDIDATES_FOUND',
  searchId,
  version,
  at: at(version),
  by: 'query',
  answer: answer(searchId, mark),
});

const operatorSearch = (searchId: SearchId, second = 0, by = operator): SearchEvent => ({
  type: 'OPERATOR_SEARCH_ANSWERED',
  searchId,
  version: 1,
  at: at(second),
  by,
  grounds: 'missing',
  justification: 'Does not know her name.',
  deviceId: null,
  answer: answer(searchId, 'operator'),
});

/** In the order given; keyed and partitioned as the services do it. */
async function publish(...events: readonly SearchEvent[]): Promise<RecordPosition[]> {
  return publisher.publishAll(
    events.map((event) => ({
      topic: SEARCHES_EVENTS,
      key: searchEventKey(event),
      partition: partitionFor(event.searchId, SEARCH_PARTITIONS),
      value: JSON.stringify(event),
      headers: searchEventHeaders(event, '/test'),
    })),
  );
}

async function forget(searchId: SearchId, key: string): Promise<RecordPosition> {
  return publisher.publish({
    topic: SEARCHES_EVENTS,
    key,
    partition: partitionFor(searchId, SEARCH_PARTITIONS),
    value: null,
  });
}

async function reflects(view: SearchView, ...positions: readonly RecordPosition[]): Promise<void> {
  for (const { partition, offset } of positions) {
    await view.reflects(partition, (offset + 1) as Offset, WITHIN_MS);
  }
}

function listAll(
  view: SearchView,
  limit = 200,
  over: Partial<Parameters<SearchView['list']>[0]> = {},
): SearchSummary[] {
  const all: SearchSummary[] = [];
  let cursor: string | undefined;
  do {
    const page = view.list({ kind: undefined, state: undefined, by: operator, cursor, limit, ...over });
    expect(page.searches.length).toBeLessThanOrEqual(limit);
    all.push(...page.searches);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return all;
}

describe('the view of the searches', () => {
  it('holds what the accepted events say, as soon as it reflects them', async () => {
    const view = await openView();
    warnings.length = 0;
    const [retrospective, operatorId] = [newId(), newId()];
    expect(view.get(retrospective)).toBeUndefined();
    await reflects(view, ...(await publish(received(retrospective), started(retrospective))));
    expect(view.get(retrospective)).toMatchObject({
      kind: 'retrospective',
      search: { state: 'SEARCHING', version: 2 },
    });
    await reflects(view, ...(await publish(found(retrospective, 3, 'x'), operatorSearch(operatorId))));
    expect(view.get(retrospective)).toMatchObject({
      kind: 'retrospective',
      search: { state: 'CANDIDATES', version: 3, operator, answer: { completedAt: 'x' } },
    });
    expect(view.get(operatorId)).toEqual({ kind: 'operator', search: operatorSearch(operatorId) });
    expect(warnings).toEqual([]);
  });

  it('keeps the first event of a version: what an owner that no longer is one publishes changes nothing', async () => {
    const view = await openView();
    warnings.length = 0;
    const id = newId();
    const positions = await publish(
      received(id),
      started(id),
      found(id, 3, 'first'),
      found(id, 3, 'second'),
      started(id, 2),
      received(id, 5, 'somebody-else'),
    );
    await reflects(view, ...positions);
    expect(view.get(id)).toMatchObject({ search: { version: 3, operator, answer: { completedAt: 'first' } } });
    expect(warnings).toEqual(['event-not-accepted', 'event-not-accepted', 'event-not-accepted']);
  });

  it('passes over what is no event, and reads on', async () => {
    const view = await openView();
    const id = newId();
    const partition = partitionFor(id, SEARCH_PARTITIONS);
    await publisher.publish({ topic: SEARCHES_EVENTS, key: `${id}/1`, partition, value: 'not JSON' });
    await publisher.publish({ topic: SEARCHES_EVENTS, key: `${id}/1`, partition, value: '{"searchId":1}' });
    await reflects(view, ...(await publish(received(id))));
    expect(view.get(id)).toMatchObject({ search: { version: 1 } });
  });

  it('reads on from where it was after a restart', async () => {
    const first = await openView();
    const id = newId();
    await reflects(first, ...(await publish(received(id))));
    await close(first);
    await publish(started(id));
    warnings.length = 0;
    const second = await openView();
    expect(second.get(id)).toMatchObject({ search: { version: 2, state: 'SEARCHING' } });
    // Had it folded the first event again, it would have said so.
    expect(warnings).toEqual([]);
  });

  it('is built again from the log with equal rows when its file was deleted', async () => {
    const first = await openView();
    const ids = Array.from({ length: 30 }, newId);
    for (const [i, id] of ids.entries()) {
      const events = [received(id, i), started(id), found(id, 3, `${i}`), found(id, 3, 'late')].slice(0, 1 + (i % 4));
      await publish(...(i % 5 === 0 ? [operatorSearch(id, i)] : events));
    }
    await first.caughtUp();
    const last = await publish(received(newId(), 40));
    await reflects(first, ...last);
    const before = { rows: listAll(first), searches: ids.map((id) => first.get(id)) };
    expect(before.rows).toHaveLength(31);
    await close(first);
    for (const suffix of ['', '-wal', '-shm']) await rm(file + suffix, { force: true });
    const second = await openView();
    expect({ rows: listAll(second), searches: ids.map((id) => second.get(id)) }).toEqual(before);
  });

  it('is built again when its file reflects a log that is longer than this one', async () => {
    const first = await openView();
    const id = newId();
    await reflects(first, ...(await publish(received(id))));
    await close(first);
    const db = new DatabaseSync(file);
    db.exec("UPDATE positions SET next_offset = 1000000000; UPDATE searches SET state = 'CLOSED', body = '{}'");
    db.close();
    const second = await openView();
    expect(warnings).toContain('view-rebuilt');
    expect(second.get(id)).toMatchObject({ search: { state: 'RECEIVED' } });
    expect(listAll(second).map(({ state }) => state)).toEqual(['RECEIVED']);
  });

  it('is built again when its file reflects the log of another cluster, even where the offsets fit', async () => {
    const first = await openView();
    const id = newId();
    await reflects(first, ...(await publish(received(id))));
    await close(first);
    const db = new DatabaseSync(file);
    db.exec("UPDATE origin SET cluster_id = 'another'; UPDATE searches SET state = 'CLOSED', body = '{}'");
    db.close();
    expect((await openView()).get(id)).toMatchObject({ search: { state: 'RECEIVED' } });
  });

  it('is built again when its file has the layout of another version', async () => {
    const first = await openView();
    const id = newId();
    await reflects(first, ...(await publish(received(id))));
    await close(first);
    const db = new DatabaseSync(file);
    db.exec(`PRAGMA user_version = ${LAYOUT_OF_ANOTHER_VERSION}; DROP TABLE searches; CREATE TABLE searches (a, b)`);
    db.close();
    expect(existsSync(file)).toBe(true);
    expect((await openView()).get(id)).toMatchObject({ search: { state: 'RECEIVED' } });
  });

  it('forgets a search whose retention has ended', async () => {
    const view = await openView();
    const [ended, other] = [newId(), newId()];
    await publish(received(ended), started(ended), received(other));
    await forget(ended, `${ended}/1`);
    await reflects(view, await forget(ended, `${ended}/2`), ...(await publish(started(other))));
    expect(view.get(ended)).toBeUndefined();
    expect(listAll(view).map(({ searchId }) => searchId)).toEqual([other]);
  });

  it('shows a refused request until a search of its id is received, and never in its place', async () => {
    const view = await openView();
    const id = newId();
    const refusal: SearchEvent = {
      type: 'REQUEST_REFUSED',
      searchId: id,
      version: 1,
      at: at(0),
      by: 'query',
      code: 'ASSERTION_INVALID',
      detail: 'not signed',
      source: { partition: 0, offset: 3 as Offset },
    };
    await reflects(view, ...(await publish(refusal)));
    expect(view.get(id)).toMatchObject({ kind: 'refused', search: { code: 'ASSERTION_INVALID' } });
    await reflects(view, ...(await publish(received(id))));
    expect(view.get(id)).toMatchObject({ kind: 'retrospective', search: { state: 'RECEIVED' } });
    await reflects(view, ...(await publish(refusal)));
    expect(view.get(id)).toMatchObject({ kind: 'retrospective', search: { state: 'RECEIVED' } });
  });

  it('does not forget a search because a refused request of the same id is forgotten', async () => {
    const view = await openView();
    const id = newId();
    await publish(received(id));
    const [refused] = await publish({
      type: 'REQUEST_REFUSED',
      searchId: id,
      version: 1,
      at: at(0),
      by: 'query',
      code: 'WRONG_PARTITION',
      detail: 'd',
      source: { partition: 0, offset: 3 as Offset },
    });
    await reflects(view, refused!, await forget(id, `${id}/refused-3`));
    expect(view.get(id)).toMatchObject({ search: { state: 'RECEIVED' } });
  });

  it('says VIEW_BEHIND, which may pass, to who waits for what is not there yet', async () => {
    const view = await openView();
    const [position] = await publish(received(newId()));
    await reflects(view, position!);
    const beyond = (position!.offset + 2) as Offset;
    expect(await codeOfAsync(() => view.reflects(position!.partition, beyond, 50))).toBe('VIEW_BEHIND');
  });
});

describe('the list of searches', () => {
  it('covers all by its cursor, newest first, without a repeat or a gap, also where many have the same time', async () => {
    const view = await openView();
    const events = Array.from({ length: 23 }, (_, i) => {
      const second = Math.floor(i / 7);
      return i % 3 === 0 ? operatorSearch(newId(), second) : received(newId(), second);
    });
    await reflects(view, ...(await publish(...events)));
    const whole = listAll(view, 200);
    expect(whole.map(({ searchId }) => searchId).sort()).toEqual(events.map(({ searchId }) => searchId).sort());
    const order = whole.map(({ receivedAt, searchId }) => `${receivedAt} ${searchId}`);
    expect(order).toEqual([...order].sort().reverse());
    for (const limit of [1, 2, 7, 22, 23, 24]) expect(listAll(view, limit), `limit ${limit}`).toEqual(whole);
  });

  it('shows only the kind, state and person that are asked for', async () => {
    const view = await openView();
    const [a, b, c] = [newId(), newId(), newId()];
    await reflects(view, ...(await publish(received(a), received(b), started(b), operatorSearch(c))));
    const ids = (over: Parameters<typeof listAll>[2]): string[] =>
      listAll(view, 1, over).map(({ searchId }) => searchId);
    expect(ids({ kind: 'operator' })).toEqual([c]);
    expect(ids({ kind: 'retrospective' }).sort()).toEqual([a, b].sort());
    expect(ids({ state: 'SEARCHING' })).toEqual([b]);
    expect(ids({ by: 'nobody' })).toEqual([]);
  });

  it('refuses a cursor that it did not give, and a limit that it does not take', async () => {
    const view = await openView();
    const query = { kind: undefined, state: undefined, by: operator, cursor: undefined, limit: 10 };
    for (const cursor of ['x', '', 'bnVsbA', Buffer.from('[1,2]').toString('base64url')]) {
      expect(
        codeOf(() => view.list({ ...query, cursor })),
        cursor,
      ).toBe('BAD_CURSOR');
    }
    for (const limit of [0, -1, 201])
      expect(
        codeOf(() => view.list({ ...query, limit })),
        `${limit}`,
      ).toBe('BAD_LIMIT');
  });
});
