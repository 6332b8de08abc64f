import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { searchEventRecord, type SearchEvent } from '#contracts/search-record.js';
import { partitionFor } from '#contracts/murmur2.js';
import { SEARCH_PARTITIONS } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { openSearchId } from '#domain/direction.js';
import { Refusal } from '#domain/errors.js';
import type { ImageId, Offset, SearchId } from '#domain/ids.js';
import type { RetrospectiveAction } from '#domain/retrospective-commands.js';
import type { RetrospectiveState } from '#domain/retrospective-search.js';
import { probeName } from '#platform/image-store.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { operatorSearch } from '../searches/search-events-for-tests.js';
import { ReviewForTests, type ProbeForTests, type ReviewReplica } from './review-for-tests.js';

const operator = { id: 'op-1', roles: ['operator'] } as const;
const second = { id: 'op-2', roles: ['operator'] } as const;
const officer = { id: 'io-1', roles: ['investigating-officer'] } as const;
const WORDS = 'Same scar over the left eyebrow, same ear lobes; the nose differs a little.';
const found: RetrospectiveAction = { type: 'OPERATOR_DECISION', outcome: 'possible-match', rank: 1, features: WORDS };
const inconclusive: RetrospectiveAction = { type: 'OPERATOR_DECISION', outcome: 'inconclusive' };
const open: RetrospectiveAction = { type: 'VIEW_CANDIDATE', rank: 1 };
const suspect: RetrospectiveAction = { type: 'OFFICER_DECISION', outcome: 'add-suspect', corroboration: WORDS };

let tests: ReviewForTests;
let one: ReviewReplica;
let two: ReviewReplica;

beforeAll(async () => {
  tests = await ReviewForTests.start();
  [one, two] = await Promise.all([tests.replica({ peerReview: true }), tests.replica({ peerReview: true })]);
});
afterAll(async () => {
  await tests.close();
  expect(tests.fatal).toEqual([]);
});

const newImage = (): ImageId => `img-${randomUUID()}` as ImageId;

/** On both replicas. */
async function shows(id: SearchId, state: RetrospectiveState): Promise<void> {
  await eventually(() => {
    for (const replica of [one, two]) expect(replica.search(id)?.state).toBe(state);
    expect(one.search(id)).toEqual(two.search(id));
  });
}

async function inState(state: RetrospectiveState, probe: ProbeForTests): Promise<SearchId> {
  const id = await tests.request(probe);
  await shows(id, state);
  return id;
}

async function inReview(candidates: readonly ImageId[] = [newImage(), newImage()]): Promise<SearchId> {
  const id = await inState('CANDIDATES', { candidates });
  for (const rank of candidates.keys()) {
    await one.decide(id, operator, { type: 'VIEW_CANDIDATE', rank: rank + 1 });
  }
  await shows(id, 'OPERATOR_REVIEW');
  return id;
}

async function withSuspect(candidates?: readonly ImageId[]): Promise<SearchId> {
  const id = await inReview(candidates);
  await one.decide(id, operator, found);
  await shows(id, 'PEER_REVIEW');
  await two.decide(id, second, open);
  await two.decide(id, second, { type: 'PEER_REVIEW', outcome: 'agree' });
  await shows(id, 'OFFICER_REVIEW');
  await one.decide(id, officer, open);
  await one.decide(id, officer, suspect);
  await shows(id, 'SUSPECT_ADDED');
  return id;
}

const typesOf = (events: readonly Record<string, unknown>[]): unknown[] => events.map(({ type }) => type);

describe('the review of a retrospective search, over two replicas', () => {
  it('goes from a probe with several faces to a suspect, each step an event and in the audit before it', async () => {
    const id = await inState('AWAITING_FACE', { faces: 2, candidates: [newImage(), newImage()] });
    expect(one.search(id)!.faces).toHaveLength(2);
    await two.decide(id, operator, { type: 'CHOOSE_FACE', face: 1 });
    await shows(id, 'CANDIDATES');
    await one.decide(id, operator, { type: 'VIEW_CANDIDATE', rank: 1 });
    await two.decide(id, operator, found, { expectedVersion: one.search(id)!.version });
    await shows(id, 'PEER_REVIEW');
    await one.decide(id, second, open);
    await one.decide(id, second, { type: 'PEER_REVIEW', outcome: 'agree', notes: 'Agreed.' });
    await shows(id, 'OFFICER_REVIEW');
    expect(await codeOfAsync(() => two.decide(id, officer, suspect))).toBe('CANDIDATES_NOT_ALL_VIEWED');
    await two.decide(id, officer, open);
    await two.decide(id, officer, suspect);
    await shows(id, 'SUSPECT_ADDED');
    await one.decide(id, officer, { type: 'CLOSE' });
    await shows(id, 'CLOSED');

    const events = await tests.events(id);
    expect(typesOf(events)).toEqual([
      'RECEIVED',
      'FACE_CHOICE_NEEDED',
      'FACE_CHOSEN',
      'CANDIDATES_FOUND',
      'CANDIDATE_VIEWED',
      'OPERATOR_DECIDED',
      'REVIEW_REQUESTED',
      'CANDIDATE_VIEWED',
      'PEER_REVIEWED',
      'CANDIDATE_VIEWED',
      'OFFICER_DECIDED',
      'CLOSED',
    ]);
    expect(events.map(({ version }) => version)).toEqual(events.map((_, i) => i + 1));
    const audits = await tests.audits(id);
    const about = (action: string): Record<string, unknown> | undefined =>
      audits.find((entry) => entry['action'] === action);
    for (const [action, type] of [
      ['retrospective-search-received', 'RECEIVED'],
      ['face-chosen', 'FACE_CHOSEN'],
      ['retrospective-search-answered', 'CANDIDATES_FOUND'],
      ['operator-decided', 'OPERATOR_DECIDED'],
      ['peer-reviewed', 'PEER_REVIEWED'],
      ['officer-decided', 'OFFICER_DECIDED'],
      ['search-closed', 'CLOSED'],
    ] as const) {
      const event = events.find((one) => one['type'] === type)!;
      expect(
        audits.filter((entry) => entry['action'] === action),
        action,
      ).toHaveLength(1);
      expect(about(action)!['actor'], action).toBe(type === 'CANDIDATES_FOUND' ? 'op-1' : event['by']);
    }
    const viewings = audits.filter((entry) => entry['action'] === 'candidate-viewed');
    expect(viewings.map(({ actor, role }) => [actor, role]).toSorted()).toEqual([
      ['io-1', 'investigating-officer'],
      ['op-1', 'operator'],
      ['op-2', 'operator'],
    ]);
    expect(about('officer-decided')).toMatchObject({ role: 'investigating-officer', justification: WORDS });
    expect(about('retrospective-search-received')).toMatchObject({ operation: 'collection' });
    expect(about('retrospective-search-answered')).toMatchObject({ operation: 'combination' });
  });

  it('never lets a rule of the software choose among several faces', async () => {
    const id = await inState('AWAITING_FACE', { faces: 3 });
    for (const face of [3, 7]) {
      expect(await codeOfAsync(() => one.decide(id, operator, { type: 'CHOOSE_FACE', face }))).toBe(
        'FACE_INDEX_OUT_OF_RANGE',
      );
    }
  });

  it('searches again what only a part of the gallery had answered, with the probe that it keeps', async () => {
    const id = await inState('PARTIAL', { candidates: [newImage()], complete: [false, true] });
    await one.decide(id, operator, { type: 'RETRY' });
    await shows(id, 'CANDIDATES');
    expect(tests.runs.get(id)).toBe(2);
  });

  it('says why a probe cannot be searched, and tries again when it is told to', async () => {
    const id = await inState('FAILED', { faces: 0 });
    expect(one.search(id)!.failure).toMatchObject({ code: 'NO_FACE' });
    await two.decide(id, operator, { type: 'RETRY' });
    await eventually(() =>
      expect(typesOf(one.search(id)!.history as never).slice(-2)).toEqual(['SEARCH_RETRIED', 'SEARCH_FAILED']),
    );
    await tests.probes.delete(probeName(id));
    await shows(id, 'FAILED');
    await one.decide(id, operator, { type: 'RETRY' });
    await eventually(() => expect(one.search(id)!.failure).toMatchObject({ code: 'PROBE_GONE' }));
  });

  it('searches with no other probe than the one that was asked about', async () => {
    const id = await inState('PARTIAL', { candidates: [newImage()], complete: [false, true] });
    await tests.probes.put(probeName(id), Buffer.from('{"candidates":["img-of-somebody-else"]}'));
    await one.decide(id, operator, { type: 'RETRY' });
    await eventually(() => expect(one.search(id)!.failure).toMatchObject({ code: 'PROBE_GONE' }));
    expect(tests.runs.get(id)).toBe(1);
  });
});

describe('two writers at once', () => {
  it('agree on who was first, and the other is told who that was', async () => {
    for (let round = 0; round < 8; round++) {
      const id = await inReview([newImage()]);
      const expectedVersion = one.search(id)!.version;
      const [a, b] = await Promise.allSettled([
        one.decide(id, operator, found, { expectedVersion }),
        two.decide(id, second, inconclusive, { expectedVersion }),
      ]);
      const [lost, winner] = a.status === 'rejected' ? [a, 'op-2'] : [b as PromiseRejectedResult, 'op-1'];
      expect([a.status, b.status].toSorted()).toEqual(['fulfilled', 'rejected']);
      expect(lost.reason).toBeInstanceOf(Refusal);
      expect(lost.reason).toMatchObject({
        code: 'VERSION_CONFLICT',
        details: { winner: { type: 'OPERATOR_DECIDED', by: winner, version: expectedVersion + 1 } },
      });
      await shows(id, winner === 'op-1' ? 'PEER_REVIEW' : 'INCONCLUSIVE');
    }
  });

  it('who say the same under one key are one', async () => {
    const id = await inReview([newImage()]);
    const options = { expectedVersion: one.search(id)!.version, key: 'once' };
    const answers = await Promise.all([one, two, one].map((replica) => replica.decide(id, operator, found, options)));
    expect(new Set(answers.map(({ state }) => state))).toEqual(new Set(['PEER_REVIEW']));
    await one.decide(id, operator, found, options);
    const decided = (await tests.events(id)).filter(({ type }) => type === 'OPERATOR_DECIDED');
    expect(decided).toHaveLength(1);
    expect(await codeOfAsync(() => two.decide(id, operator, inconclusive, options))).toBe('IDEMPOTENCY_KEY_REUSED');
  });

  it('who open candidates are never in each other’s way', async () => {
    const id = await inState('CANDIDATES', { candidates: [newImage(), newImage(), newImage()] });
    const opened = [1, 2, 3].flatMap((rank) => [
      one.decide(id, operator, { type: 'VIEW_CANDIDATE', rank }),
      two.decide(id, second, { type: 'VIEW_CANDIDATE', rank }),
    ]);
    await Promise.all(opened);
    await eventually(() => expect(two.search(id)!.viewings).toHaveLength(6));
  });
});

describe('the owner of a partition', () => {
  it('is fenced: what it publishes late, under a version that is taken, changes nothing anywhere', async () => {
    const id = await inReview([newImage()]);
    const { version } = one.search(id)!;
    await one.decide(id, operator, inconclusive);
    await shows(id, 'INCONCLUSIVE');
    const late: SearchEvent = {
      type: 'OPERATOR_DECIDED',
      outcome: 'no-match',
      searchId: id,
      version: version + 1,
      at: new Date().toISOString(),
      by: 'op-2',
      commandId: randomUUID(),
    };
    const { partition, offset } = await tests.client.publisher().publish(searchEventRecord(late, '/late'));
    for (const replica of [one, two]) await replica.view.reflects(partition, (offset + 1) as Offset, 10_000);
    await shows(id, 'INCONCLUSIVE');
    expect(one.search(id)!.decisions).toMatchObject([{ outcome: 'inconclusive', by: 'op-1' }]);
    expect(await tests.events(id)).toHaveLength(version + 2);
  });

  it('that loses to another learns it, and decides anew on what won', async () => {
    const id = await inState('CANDIDATES', { candidates: [newImage()] });
    // Both as if they owned the partition: each opens the candidate for another person.
    const results = await Promise.all(
      [one, two].flatMap((replica, r) =>
        Array.from({ length: 5 }, (_, i) =>
          replica.acceptance.accept(id, (search) => ({
            events: search === undefined ? [] : [{ type: 'CANDIDATE_VIEWED', by: `op-${r}-${i}`, rank: 1 }],
          })),
        ),
      ),
    );
    expect(results.every(({ accepted }) => accepted)).toBe(true);
    await eventually(() => expect(one.search(id)!.viewings).toHaveLength(10));
    expect(new Set(one.search(id)!.viewings.map(({ by }) => by)).size).toBe(10);
  });

  it('that comes late with its answer changes neither the one that stands nor what is held against erasure', async () => {
    const id = randomUUID() as SearchId;
    const gallery = Promise.withResolvers<void>();
    tests.answersAfter.set(id, gallery.promise);
    await tests.request({ candidates: [newImage()] }, 'op-1', id);
    await eventually(() => expect(tests.runs.get(id)).toBe(1));
    await shows(id, 'SEARCHING');
    const images = [newImage(), newImage()];
    expect(await two.answerAsAnother(id, images)).toBe(true);
    await shows(id, 'CANDIDATES');
    gallery.resolve();
    // A replica runs one search at a time: when it has answered others, it has ended this one.
    const others = await Promise.all(Array.from({ length: 8 }, () => inState('NO_CANDIDATES', {})));
    expect(others.every((other) => tests.runs.get(other) === 1)).toBe(true);
    await shows(id, 'CANDIDATES');
    expect(one.search(id)!.answer!.candidates.map(({ imageId }) => imageId)).toEqual(images);
    expect(one.directions.get(openSearchId(id))).toMatchObject({ target: { imageIds: images } });
    const answered = (await tests.audits(id)).filter(({ action }) => action === 'retrospective-search-answered');
    expect(answered).toEqual([]);
  });

  it('that is gone is replaced: the next one takes up what was asked for, and what was not finished', async () => {
    const id = await inReview([newImage()]);
    await one.disown();
    await two.disown();
    const waiting = await tests.request({ candidates: [newImage()] });
    const asked = one.decide(id, operator, inconclusive).catch((error: unknown) => error);
    // Nobody takes it up: it is in the log, and whoever asked is told so.
    expect(await asked).toMatchObject({ code: 'COMMAND_QUEUED', retryable: true });
    await two.own();
    await shows(id, 'INCONCLUSIVE');
    await shows(waiting, 'CANDIDATES');
    await one.own();
    const next = await inReview([newImage()]);
    await two.decide(next, operator, found);
    await shows(next, 'PEER_REVIEW');
  });

  it('goes on past a request that comes under the id of an officer’s search, and leaves that as it is', async () => {
    const id = randomUUID() as SearchId;
    const partition = partitionFor(Buffer.from(id), SEARCH_PARTITIONS);
    await one.acceptance.publish(operatorSearch(id));
    await eventually(() => {
      for (const { view } of [one, two]) expect(view.get(id)?.kind).toBe('operator');
    });
    await tests.request({ candidates: [newImage()] }, 'op-1', id);
    let behind = randomUUID() as SearchId;
    while (partitionFor(Buffer.from(behind), SEARCH_PARTITIONS) !== partition) behind = randomUUID() as SearchId;
    await tests.request({}, 'op-1', behind);
    await shows(behind, 'NO_CANDIDATES');
    expect(await tests.events(id)).toMatchObject([
      { type: 'OPERATOR_SEARCH_ANSWERED' },
      { type: 'REQUEST_REFUSED', code: 'SEARCH_ID_TAKEN' },
    ]);
    expect(one.view.get(id)?.kind).toBe('operator');
    expect(await tests.probes.get(probeName(id))).toBeUndefined();
  });

  it('takes over a possible match that nobody was asked to review, as a death in the middle leaves it', async () => {
    const id = await inReview([newImage()]);
    await one.disown();
    const event: SearchEvent = {
      type: 'OPERATOR_DECIDED',
      outcome: 'possible-match',
      rank: 1,
      features: WORDS,
      searchId: id,
      version: one.search(id)!.version + 1,
      at: new Date().toISOString(),
      by: 'op-1',
      commandId: randomUUID(),
    };
    await two.acceptance.publish(event);
    await shows(id, 'POSSIBLE_MATCH');
    await one.own();
    await shows(id, 'PEER_REVIEW');
  });

  it('accepts nothing that it cannot put in the audit, and accepts it when it can', async () => {
    const id = await inReview([newImage()]);
    for (const replica of [one, two]) replica.auditIsAway = true;
    const { version } = one.search(id)!;
    expect(await codeOfAsync(() => one.decide(id, operator, inconclusive))).toBe('COMMAND_QUEUED');
    expect(one.search(id)!.version).toBe(version);
    expect(await tests.events(id)).toHaveLength(version);
    for (const replica of [one, two]) replica.auditIsAway = false;
    await shows(id, 'INCONCLUSIVE');
  });
});

describe('a candidate whose image is erased or restricted', () => {
  it('is withdrawn once, though every replica notices, and cannot be decided on any more', async () => {
    const images = [newImage(), newImage()];
    const id = await inReview(images);
    await tests.dispose(images[0]!, 'restricted');
    await eventually(() => expect(one.search(id)!.withdrawals).toMatchObject([{ rank: 1, reason: 'restricted' }]));
    await shows(id, 'OPERATOR_REVIEW');
    expect(await codeOfAsync(() => one.decide(id, operator, found))).toBe('CANDIDATE_WITHDRAWN');
    const withdrawn = (await tests.events(id)).filter(({ type }) => type === 'CANDIDATE_WITHDRAWN');
    expect(withdrawn).toMatchObject([{ rank: 1, investigatingOfficer: 'io-1' }]);
    expect((await tests.audits(id)).filter(({ action }) => action === 'candidate-withdrawn')).toMatchObject([
      { role: 'system', imageIds: [images[0]], recipients: ['io-1'] },
    ]);
  });

  it('opens the closed case in which it is the suspect again, and the officer is told', async () => {
    const images = [newImage()];
    const id = await withSuspect(images);
    await one.decide(id, operator, { type: 'CLOSE' });
    await shows(id, 'CLOSED');
    await tests.dispose(images[0]!);
    await shows(id, 'OFFICER_REVIEW');
    expect((await tests.events(id)).at(-1)).toMatchObject({
      type: 'CANDIDATE_WITHDRAWN',
      reason: 'erased',
      investigatingOfficer: 'io-1',
    });
    expect(await codeOfAsync(() => two.decide(id, officer, suspect))).toBe('CANDIDATE_WITHDRAWN');
    await two.decide(id, officer, { type: 'OFFICER_DECISION', outcome: 'reject' });
    await shows(id, 'REJECTED');
  });

  it('is withdrawn from an answer that came after its disposition', async () => {
    const images = [newImage(), newImage()];
    await tests.dispose(images[1]!);
    const id = await tests.request({ candidates: images });
    await eventually(() => expect(two.search(id)?.withdrawals).toMatchObject([{ rank: 2 }]));
    await shows(id, 'CANDIDATES');
  });

  it('is withdrawn by whoever takes over, when nobody was there to notice', async () => {
    const images = [newImage()];
    const id = await inReview(images);
    await Promise.all([one.close(), two.close()]);
    await tests.dispose(images[0]!);
    [one, two] = await Promise.all([tests.replica({ peerReview: true }), tests.replica({ peerReview: true })]);
    await eventually(() => expect(one.search(id)?.withdrawals).toMatchObject([{ rank: 1 }]));
  });
});

describe('the candidates of an open search', () => {
  it('are held against erasure from before they are on record until the search is closed', async () => {
    const images = [newImage(), newImage()];
    const id = await inState('CANDIDATES', { candidates: images });
    const hold = () => one.directions.get(openSearchId(id));
    await eventually(() => expect(hold()).toMatchObject({ kind: 'open-search', target: { imageIds: images } }));
    expect(Date.parse(hold()!.at)).toBeLessThanOrEqual(Date.parse(one.search(id)!.updatedAt));
    await one.decide(id, operator, { type: 'VIEW_CANDIDATE', rank: 1 });
    await one.decide(id, operator, inconclusive);
    await shows(id, 'INCONCLUSIVE');
    expect(hold()).toBeDefined();
    await two.decide(id, operator, { type: 'CLOSE' });
    await eventually(() => expect(hold()).toBeUndefined());
  });

  it('are none, where nobody was found', async () => {
    const id = await inState('NO_CANDIDATES', {});
    expect(one.directions.get(openSearchId(id))).toBeUndefined();
  });
});
