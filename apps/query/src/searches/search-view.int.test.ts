import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { partitionFor } from '#contracts/murmur2.js';
import type { SearchEvent } from '#contracts/search-record.js';
import { desiredTopics, SEARCH_PARTITIONS, SEARCHES_EVENTS } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { ImageId, ModelId, Offset, SearchId, SubjectId } from '#domain/ids.js';
import type { OperatorSearchAnswered } from '#domain/operator-search.js';
import { foldOperator } from '#domain/operator-search.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { RecordPosition } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Log } from '#platform/log.js';
import { clientForTests } from '#testkit/kafka-test-helpers.js';
import {
  at,
  completedAt,
  found,
  newId,
  operatorSearch as byOfficer,
  outcome,
  publishEvents,
  received as receivedFrom,
  started,
} from './search-events-for-tests.js';
import type { SearchListFilter } from '#contracts/search-forms.js';
import type { SearchScope, SearchSummary } from './search-tables.js';
import { SearchView } from './search-view.js';

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

const received = (searchId: SearchId, second = 0, by = operator): SearchEvent => receivedFrom(searchId, second, by);
const operatorSearch = (
  searchId: SearchId,
  second = 0,
  by = operator,
  images: readonly string[] = [],
): OperatorSearchAnswered => byOfficer(searchId, second, by, images);
const publish = (...events: readonly SearchEvent[]): Promise<RecordPosition[]> => publishEvents(publisher, ...events);

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
  filter: SearchListFilter = {},
  scopes: readonly SearchScope[] = [{ by: operator }],
): SearchSummary[] {
  const all: SearchSummary[] = [];
  let cursor: string | undefined;
  do {
    const page = view.list({ filter, cursor, limit }, scopes);
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
      search: { state: 'CANDIDATES', version: 3, operator, answer: { completedAt: completedAt('x') } },
    });
    expect(view.get(operatorId)).toEqual({
      kind: 'operator',
      search: foldOperator(undefined, operatorSearch(operatorId)),
    });
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
    expect(view.get(id)).toMatchObject({
      search: { version: 3, operator, answer: { completedAt: completedAt('first') } },
    });
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
      const events = [
        received(id, i),
        started(id),
        found(id, 3, `${i}`, [`${operator}-a`, `i-${i}`]),
        found(id, 3, 'late', ['never']),
      ].slice(0, 1 + (i % 4));
      const officers = [operatorSearch(id, i, operator, [`${operator}-a`]), outcome(id, i % 2 === 0 ? 1 : null)];
      await publish(...(i % 5 === 0 ? officers.slice(0, 1 + (i % 2)) : events));
    }
    await first.caughtUp();
    const last = await publish(received(newId(), 40));
    await reflects(first, ...last);
    const whole = (view: SearchView): unknown => ({
      rows: listAll(view),
      searches: ids.map((id) => view.get(id)),
      returned: view.searchesWith({ imageId: `${operator}-a` as ImageId }),
      keys: ids.map((id) => view.eventKeys(id)),
      withoutOutcome: listAll(view, 200, { outcome: 'missing' }),
    });
    const before = whole(first);
    expect(listAll(first)).toHaveLength(31);
    expect(first.searchesWith({ imageId: `${operator}-a` as ImageId }).length).toBeGreaterThan(10);
    await close(first);
    for (const suffix of ['', '-wal', '-shm']) await rm(file + suffix, { force: true });
    const second = await openView();
    expect(whole(second)).toEqual(before);
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
    db.exec("UPDATE origin SET name = 'another'; UPDATE searches SET state = 'CLOSED', body = '{}'");
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
    const imageId = `${ended}-image` as ImageId;
    const all = [received(ended), started(ended), found(ended, 3, 'x', [imageId]), found(ended, 3, 'late')];
    await reflects(view, ...(await publish(...all, received(other))));
    expect(view.searchesWith({ imageId })).toHaveLength(1);
    const keys = view.eventKeys(ended);
    expect(keys).toHaveLength(4);
    const [first, ...rest] = keys;
    await reflects(view, await forget(ended, first!));
    expect(view.get(ended)).toBeUndefined();
    expect(view.searchesWith({ imageId })).toEqual([]);
    // Begun and not finished: what is still in the log is known.
    expect(view.eventKeys(ended)).toEqual(rest);
    const last = await Promise.all(rest.map((key) => forget(ended, key)));
    await reflects(view, ...last, ...(await publish(started(other))));
    expect(view.eventKeys(ended)).toEqual([]);
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

describe('an operator-initiated search in the view', () => {
  it('has the outcome that was recorded first, and counts as missing until then', async () => {
    const view = await openView();
    const id = newId();
    await reflects(view, ...(await publish(operatorSearch(id, 0, operator, ['x']))));
    const missing = view.countWithoutOutcome();
    expect(missing).toBeGreaterThan(0);
    warnings.length = 0;
    await reflects(view, ...(await publish(outcome(id, 1, 'first'), outcome(id, null, 'second'))));
    expect(view.get(id)).toMatchObject({ search: { version: 2, outcome: { rank: 1, commandId: 'first' } } });
    expect(view.countWithoutOutcome()).toBe(missing - 1);
    expect(warnings).toEqual(['event-not-accepted']);
  });

  it('keeps the first answer under its id, and never takes the place of a search of the other kind', async () => {
    const view = await openView();
    const [id, other] = [newId(), newId()];
    const late = { ...operatorSearch(id), by: 'late' };
    await reflects(
      view,
      ...(await publish(operatorSearch(id), late, received(id), received(other), operatorSearch(other))),
    );
    expect(view.get(id)).toMatchObject({ kind: 'operator', search: { by: operator } });
    expect(view.get(other)).toMatchObject({ kind: 'retrospective', search: { version: 1 } });
  });
});

describe('where an image was returned', () => {
  it('is known by image and by subject, with the state that each search is in now', async () => {
    const view = await openView();
    const [a, b] = [newId(), newId()];
    const [one, two] = [`${a}-one` as ImageId, `${a}-two` as ImageId];
    await publish(received(a, 1), started(a), found(a, 3, 'x', [one, two]), operatorSearch(b, 2, operator, [two]));
    const viewing = { type: 'CANDIDATE_VIEWED', searchId: a, version: 4, at: at(9), by: operator, rank: 1 } as const;
    await reflects(view, ...(await publish(viewing, outcome(b, 1))));
    const inA = { searchId: a, kind: 'retrospective', state: 'OPERATOR_REVIEW', version: 4 };
    const inB = { searchId: b, kind: 'operator', state: 'OUTCOME_RECORDED', version: 2 };
    expect(view.searchesWith({ imageId: one })).toEqual([{ ...inA, rank: 1, imageId: one, subjectId: `of-${one}` }]);
    const both = [
      { ...inB, rank: 1, imageId: two, subjectId: `of-${two}` },
      { ...inA, rank: 2, imageId: two, subjectId: `of-${two}` },
    ];
    expect(view.searchesWith({ imageId: two })).toEqual(both);
    expect(view.searchesWith({ subjectId: `of-${two}` as SubjectId })).toEqual(both);
    expect(view.searchesWith({ imageId: 'none' as ImageId })).toEqual([]);
  });
});

describe('who waits for a version of a search', () => {
  it('goes on as soon as the view shows it or a later one', async () => {
    const view = await openView();
    const id = newId();
    const waiting = view.shows(id, 2, WITHIN_MS);
    await publish(received(id), started(id));
    await waiting;
    expect(view.get(id)).toMatchObject({ search: { version: 2 } });
    await view.shows(id, 1, 0);
  });

  it('is told VIEW_BEHIND when it does not come', async () => {
    const view = await openView();
    expect(await codeOfAsync(() => view.shows(newId(), 1, 50))).toBe('VIEW_BEHIND');
  });
});
