import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import type { SearchEvent } from '#contracts/search-record.js';
import { AUDIT_ENTRIES } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { Failure } from '#domain/errors.js';
import type { ImageId, Offset, SearchId, SubjectId } from '#domain/ids.js';
import type { FoundAnswer, FoundCandidate } from '#domain/search-answer.js';
import { foundAnswerForTests } from '#domain/search-answer-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { accessReportHtml } from './access-report-html.js';
import { AccessReports } from './access-reports.js';
import { SearchableImages } from './searchable-images.js';
import {
  auditedBy,
  dataProtection,
  enrolForTests,
  newImageId,
  newSubjectId,
  recordSearch,
  subjectRightsForTests,
  trailOf,
  type SubjectRights,
} from './subject-rights-for-tests.js';

const OFFICER = 'pc-4711';
const OPERATOR = 'op-0815';
const INVESTIGATOR = 'dc-1066';
const why = { reason: 'Disputed by Jane Roe of 1 High Street.', authority: 'DPA 2018 s.47' };

let rights: SubjectRights;

beforeAll(async () => {
  rights = await subjectRightsForTests();
});
afterAll(async () => {
  await rights.close();
  expect(rights.fatal).toEqual([]);
});

function reportsWith(audit: AuditLog = rights.audit): AccessReports {
  const { register, reviewDates, directions, dispositions, view, trail } = rights;
  return new AccessReports(register, reviewDates, directions, (id) => dispositions.get(id), view, trail, audit);
}

interface Person {
  readonly subjectId: SubjectId;
  readonly imageId: ImageId;
}

async function enrolled(): Promise<Person> {
  const person = { subjectId: newSubjectId(), imageId: newImageId() };
  const metadata = { ...person, custodyReference: `GW/${randomUUID()}`, force: 'gwent', ageBand: '25-34' } as const;
  const keeping = { lawfulBasis: 'PACE s.64A', reviewDue: '2032-02-03', face: 0 };
  await enrolForTests(rights, metadata, { keeping, acceptedAtMs: Date.now() });
  return person;
}

function answerOf(searchId: SearchId, people: readonly Person[]): FoundAnswer {
  const candidates = people.map((person, i): FoundCandidate => ({
    ...person,
    rank: i + 1,
    score: 0.8 - i / 10,
    aboveThreshold: true,
    force: 'gwent',
    custodyReference: `reference-of-${person.subjectId}`,
    capturedAt: null,
    sourceOffset: 0 as Offset,
  }));
  return foundAnswerForTests(searchId, candidates, { completedAt: '2026-03-01T00:00:00.000Z' });
}

/** A search in the street that returned both, and a retrospective one that is under review. */
async function searched(people: readonly Person[]): Promise<{ operator: SearchId; retrospective: SearchId }> {
  const [operator, retrospective] = [randomUUID() as SearchId, randomUUID() as SearchId];
  const at = '2026-03-01T00:00:00.000Z';
  await recordSearch(rights, {
    type: 'OPERATOR_SEARCH_ANSWERED',
    ...{ searchId: operator, version: 1, at, by: OFFICER },
    grounds: 'missing',
    justification: 'Says that she is Jane Roe of 1 High Street',
    deviceId: 'phone-7',
    answer: answerOf(operator, people),
  });
  const request = {
    crimeReference: 'CR/SECRET/1',
    offence: 'burglary',
    source: 'cctv',
    justification: 'Seen by Jane Roe of 1 High Street',
    investigatingOfficer: INVESTIGATOR,
    limit: 20,
  } as const;
  const events = [
    { type: 'RECEIVED', version: 1, by: OPERATOR, operator: OPERATOR, request, probeSha256: 'ab' },
    { type: 'SEARCH_STARTED', version: 2, by: 'query' },
    { type: 'CANDIDATES_FOUND', version: 3, by: 'query', answer: answerOf(retrospective, people) },
  ].map((event) => ({ rules: { version: 1, peerReview: false }, ...event, searchId: retrospective, at }));
  await recordSearch(rights, ...(events as unknown as SearchEvent[]));
  const whose = {
    subjectIds: people.map(({ subjectId }) => subjectId),
    imageIds: people.map(({ imageId }) => imageId),
  };
  await rights.audit.append([
    auditedBy(OFFICER, { action: 'operator-search-answered', searchId: operator, ...whose, recipients: [OFFICER] }),
    auditedBy(OPERATOR, { role: 'operator', searchId: retrospective, ...whose, recipients: [OPERATOR] }),
  ]);
  return { operator, retrospective };
}

describe('an access report', () => {
  it('says what is held, why, what searched it, and who was shown it', async () => {
    const [asking, other] = [await enrolled(), await enrolled()];
    const searches = await searched([other, asking]);
    await rights.custodyDirections.give(dataProtection, 'restriction', { imageId: asking.imageId, ...why }, undefined);
    const report = await reportsWith().of(dataProtection, asking.subjectId);
    expect(report.images).toMatchObject([
      {
        imageId: asking.imageId,
        lawfulBasis: 'PACE s.64A',
        reviewOn: '2032-02-03',
        reviewBecause: 'custody-system',
        searchable: false,
        suppressed: { kind: 'restricted', authority: why.authority },
      },
    ]);
    expect(report.searches).toHaveLength(2);
    expect(report.searches).toContainEqual(
      expect.objectContaining({
        searchId: searches.operator,
        kind: 'operator',
        grounds: 'missing',
        rank: 2,
        imageId: asking.imageId,
        outcome: 'no-outcome-recorded',
        isOpen: false,
      }),
    );
    expect(report.searches).toContainEqual(
      expect.objectContaining({
        searchId: searches.retrospective,
        offence: 'burglary',
        outcome: 'under-review',
        isOpen: true,
      }),
    );
    expect(report.accesses.map(({ action, role }) => `${role} ${action}`)).toEqual(
      expect.arrayContaining(['officer operator-search-answered', 'operator search-viewed']),
    );
    expect(report.changes.map(({ action }) => action)).toContain('restriction-directed');
  });

  it('has nothing about the other people in the same search, in JSON and in HTML', async () => {
    const [asking, other] = [await enrolled(), await enrolled()];
    await searched([other, asking]);
    await rights.custodyDirections.give(dataProtection, 'restriction', { imageId: asking.imageId, ...why }, undefined);
    const report = await reportsWith().of(dataProtection, asking.subjectId);
    for (const text of [JSON.stringify(report), accessReportHtml(report)]) {
      expect(text).toContain(asking.imageId);
      for (const secret of [
        ...[other.subjectId, other.imageId, `reference-of-${other.subjectId}`],
        ...[OFFICER, OPERATOR, INVESTIGATOR, dataProtection.id],
        ...['Jane Roe', 'CR/SECRET/1', 'phone-7'],
      ]) {
        expect(text).not.toContain(secret);
      }
    }
  });

  it('of somebody whose image was recorded under another person by mistake tells each of their own', async () => {
    const [wrong, right] = [await enrolled(), newSubjectId()];
    await searched([wrong]);
    await enrolForTests(rights, { imageId: wrong.imageId, subjectId: right }, { sourceOffset: 9 });
    const mistaken = await reportsWith().of(dataProtection, wrong.subjectId);
    expect(mistaken.images).toEqual([]);
    expect(mistaken.searches.map(({ imageId }) => imageId)).toEqual([null, null]);
    expect(JSON.stringify(mistaken)).not.toContain(right);
    const theirs = await reportsWith().of(dataProtection, right);
    expect(theirs.searches.map(({ imageId }) => imageId)).toEqual([wrong.imageId, wrong.imageId]);
    expect(JSON.stringify(theirs)).not.toContain(wrong.subjectId);
  });

  it('of somebody of whom nothing is held says so', async () => {
    const report = await reportsWith().of(dataProtection, newSubjectId());
    expect(report).toMatchObject({ images: [], searches: [], changes: [] });
    expect(accessReportHtml(report)).toContain('None.');
  });

  it('is in the audit before it is shown, and not shown when it cannot be', async () => {
    const person = await enrolled();
    await reportsWith().of(dataProtection, person.subjectId);
    const trail = await trailOf(rights, person.subjectId);
    expect(trail.map(({ action }) => action)).toContain('access-report');
    const broken = new AuditLog({ publishAll: () => Promise.reject(new Failure('KAFKA_UNAVAILABLE', '', true)) }, '/t');
    expect(await codeOfAsync(() => reportsWith(broken).of(dataProtection, person.subjectId))).toBe('AUDIT_UNAVAILABLE');
  });
});

describe('"was this person searchable at this time?"', () => {
  const searchable = (): SearchableImages =>
    new SearchableImages(rights.register, rights.directions, rights.trail, rights.audit);
  const collected = (people: readonly Person[]): Promise<void> =>
    rights.audit.append([
      auditedBy('/custody-suite', {
        ...{ operation: 'collection', action: 'images-enrolled', role: 'system' },
        imageIds: people.map(({ imageId }) => imageId),
        subjectIds: people.map(({ subjectId }) => subjectId),
      }),
    ]);
  /** So far from its entry that everything has settled. */
  const later = (ms: number): string => new Date(Date.now() + ms).toISOString();

  it('is answered from the audit, with the entries that say so', async () => {
    const before = later(-1000);
    const [asked, other] = [await enrolled(), await enrolled()];
    await collected([other, asked]);
    await rights.custodyDirections.give(dataProtection, 'restriction', { imageId: asked.imageId, ...why }, undefined);
    const ask = (at: string): ReturnType<SearchableImages['of']> =>
      searchable().of({ id: 'auditor-1', roles: ['auditor'] }, asked.subjectId, at);
    expect(await ask(before)).toMatchObject({ searchable: 'no', images: [{ imageId: asked.imageId, evidence: [] }] });
    const now = await ask(later(120_000));
    expect(now).toMatchObject({ searchable: 'no', auditWholeSince: null });
    expect(now.images).toHaveLength(1);
    expect(now.images[0]!.evidence.map(({ action }) => action)).toEqual(['images-enrolled', 'restriction-directed']);
    expect(await searchable().of(dataProtection, other.subjectId, later(120_000))).toMatchObject({ searchable: 'yes' });
  });

  it('is not answered with "no" by a restriction that is in the audit and was never in force', async () => {
    const person = await enrolled();
    await collected([person]);
    await rights.audit.append([
      auditedBy(dataProtection.id, {
        ...{ operation: 'alteration', action: 'restriction-directed', imageIds: [person.imageId] },
        ...{ subjectIds: [person.subjectId], detail: { directionId: newImageId(), about: 'image' } },
      }),
    ]);
    expect(await searchable().of(dataProtection, person.subjectId, later(120_000))).toMatchObject({
      searchable: 'unknown',
    });
  });

  it('holds a direction about the person against an image that came after it', async () => {
    const person = await enrolled();
    await collected([person]);
    await rights.custodyDirections.give(
      dataProtection,
      'restriction',
      { subjectId: person.subjectId, ...why },
      undefined,
    );
    const second = { subjectId: person.subjectId, imageId: newImageId() };
    await enrolForTests(rights, second);
    await collected([second]);
    const answer = await searchable().of(dataProtection, person.subjectId, later(120_000));
    expect(answer.searchable).toBe('no');
    expect(answer.images.map(({ searchable: one }) => one)).toEqual(['no', 'no']);
  });

  it('is not answered with "yes" or "no" by entries of which one was changed', async () => {
    const person = await enrolled();
    await collected([person]);
    await rights.custodyDirections.give(dataProtection, 'restriction', { imageId: person.imageId, ...why }, undefined);
    const directed = (await trailOf(rights, person.subjectId)).find(({ action }) => action === 'restriction-directed')!;
    const records = await readTopic(rights.kafka, AUDIT_ENTRIES);
    const { value } = records.find(({ key }) => key?.toString() === directed.eventId)!;
    const forged = { ...(JSON.parse(value!.toString()) as object), action: 'restriction-shown' };
    await rights.publisher.publish({ topic: AUDIT_ENTRIES, key: directed.eventId, value: JSON.stringify(forged) });
    expect(await searchable().of(dataProtection, person.subjectId, later(120_000))).toMatchObject({
      searchable: 'unknown',
      images: [{ imageId: person.imageId, searchable: 'unknown', evidence: [] }],
    });
  });

  it('knows an image that was erased by what the audit said of it', async () => {
    const person = { subjectId: newSubjectId(), imageId: newImageId() };
    await collected([person, { subjectId: newSubjectId(), imageId: newImageId() }]);
    await rights.audit.append([
      auditedBy('dp', { operation: 'erasure', action: 'erasure', imageIds: [person.imageId] }),
    ]);
    const answer = await searchable().of(dataProtection, person.subjectId, later(120_000));
    expect(answer).toMatchObject({
      searchable: 'no',
      images: [{ imageId: person.imageId, because: 'It was erased by then.' }],
    });
    expect(answer.images).toHaveLength(1);
  });
});
