/** Events of searches as the services write them, for the tests of whatever reads them. */
import { randomUUID } from 'node:crypto';
import { searchEventRecord, type SearchEvent } from '#contracts/search-record.js';
import type { ImageId, Offset, SearchId, SubjectId } from '#domain/ids.js';
import type { OperatorSearchAnswered, OperatorSearchEvent } from '#domain/operator-search.js';
import type { RetrospectiveEvent } from '#domain/retrospective-events.js';
import type { FoundAnswer } from '#domain/search-answer.js';
import { candidateForTests, foundAnswerForTests } from '#domain/search-answer-for-tests.js';
import type { RecordPosition } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';

export const newId = (): SearchId => randomUUID() as SearchId;

export function at(second: number): string {
  return new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
}

/** Tells one answer from another: a time of its own for each text. */
export function completedAt(mark: string): string {
  const sum = [...mark].reduce((total, character) => total * 31 + character.codePointAt(0)!, 0);
  return at(sum % 1_000_000);
}

function answer(searchId: SearchId, mark: string, images: readonly string[] = []): FoundAnswer {
  const candidates = images.map((imageId, i) =>
    candidateForTests(i + 1, {
      imageId: imageId as ImageId,
      subjectId: `of-${imageId}` as SubjectId,
      sourceOffset: i as Offset,
    }),
  );
  return foundAnswerForTests(searchId, candidates, { completedAt: completedAt(mark) });
}

export function received(
  searchId: SearchId,
  second = 0,
  by = 'op-1',
  probeSha256: string = 'ab'.repeat(32),
): RetrospectiveEvent {
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
    probeSha256,
    rules: { version: 1, peerReview: false },
  };
}

export const started = (searchId: SearchId, version = 2): RetrospectiveEvent => ({
  type: 'SEARCH_STARTED',
  searchId,
  version,
  at: at(version),
  by: 'query',
});

export const found = (
  searchId: SearchId,
  version: number,
  mark: string,
  images?: readonly string[],
): RetrospectiveEvent => ({
  type: 'CANDIDATES_FOUND',
  searchId,
  version,
  at: at(version),
  by: 'query',
  answer: answer(searchId, mark, images),
});

export const operatorSearch = (
  searchId: SearchId,
  second = 0,
  by = 'officer-1',
  images?: readonly string[],
): OperatorSearchAnswered => ({
  type: 'OPERATOR_SEARCH_ANSWERED',
  searchId,
  version: 1,
  at: at(second),
  by,
  grounds: 'missing',
  justification: 'Does not know her name.',
  deviceId: 'phone-7',
  answer: answer(searchId, 'operator', images),
});

export const outcome = (searchId: SearchId, rank: number | null, commandId = 'c'): OperatorSearchEvent => ({
  type: 'OPERATOR_OUTCOME_RECORDED',
  searchId,
  version: 2,
  at: at(50),
  by: 'officer-1',
  rank,
  notes: 'Named by her sister.',
  commandId,
  subjectId: null,
  imageId: null,
});

/** In the order given; keyed and partitioned as the services do it. */
export async function publishEvents(
  publisher: Publisher,
  ...events: readonly SearchEvent[]
): Promise<RecordPosition[]> {
  return publisher.publishAll(events.map((event) => searchEventRecord(event, '/test')));
}
