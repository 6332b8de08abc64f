import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { custodyImageHeaders } from '#contracts/custody-image.js';
import { isCustodyReplay, parseCustodyReplay } from '#contracts/custody-replay.js';
import { dispositionRecord } from '#contracts/disposition-record.js';
import { encodeOutcome, outcomeHeaders } from '#contracts/outcome-record.js';
import {
  AUDIT_ENTRIES,
  CUSTODY_IMAGES,
  CUSTODY_OUTCOMES,
  desiredTopics,
  galleryTemplates,
  SEARCHES_COMMANDS,
  SEARCHES_REQUESTS,
} from '#contracts/topics.js';
import type { Disposition } from '#domain/disposition.js';
import { modelId, type ImageId, type Offset, type SubjectId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { deadLetterFor } from '#kafka/dead-letters.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { RecordPosition } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import { clientForTests } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { carryOut, planReplays, type ReplayVerdict } from './dead-letter-replays.js';
import { readDeadLetters, type DeadLetterState } from './dead-letter-states.js';

const ORDER = { by: 'cli-test', reason: 'the disk is well again' };

describe('what was put aside', () => {
  let kafka: KafkaClient;
  let publisher: Publisher;
  const tag = randomUUID().slice(0, 8);
  const erased = new Map<string, Disposition>();

  beforeAll(async () => {
    kafka = clientForTests();
    publisher = kafka.publisher();
    const model = modelId('0123456789abcdef');
    await kafka.topicAdmin().applyTopics(desiredTopics({ modelId: model, profile: 'local', replication: 1 }));
  });
  afterAll(() => kafka.close());

  const newId = (): ImageId => `dead-${tag}-${randomUUID()}` as ImageId;

  async function putAside(id: ImageId, attempts = 3): Promise<RecordPosition> {
    const of = { imageId: id, subjectId: 'subject-1' as SubjectId };
    const headers = custodyImageHeaders(of, '/test', 'image/jpeg');
    const place = await publisher.publish({ topic: CUSTODY_IMAGES, key: id, value: Buffer.from('pixels'), headers });
    await letterOf(id, place, attempts);
    return place;
  }

  async function letterOf(id: ImageId, place: RecordPosition, attempts = 3): Promise<void> {
    const source = { topic: CUSTODY_IMAGES, ...place, key: Buffer.from(id) };
    const cause = { code: 'INTERNAL', detail: 'The image could not be processed here.', attempts };
    await publisher.publish(deadLetterFor(source, cause));
    await outcome(id, place, { outcome: 'failed', code: 'INTERNAL', detail: 'It was put aside.' });
  }

  async function outcome(id: ImageId, source: RecordPosition, what: object): Promise<void> {
    const value = { ...what, imageId: id, at: new Date().toISOString(), source } as ImageOutcome;
    const headers = outcomeHeaders(value, '/test');
    await publisher.publish({ topic: CUSTODY_OUTCOMES, key: id, value: encodeOutcome(value), headers });
  }

  const stateOf = async (id: string): Promise<DeadLetterState> => {
    const states = await readDeadLetters(kafka, { key: id });
    expect(states).toHaveLength(1);
    return states[0]!;
  };

  const verdictOn = async (id: string): Promise<ReplayVerdict> =>
    planReplays([await stateOf(id)], (image) => erased.get(image))[0]!.verdict;

  async function replay(id: string): Promise<readonly DeadLetterState[]> {
    const plans = planReplays([await stateOf(id)], (image) => erased.get(image));
    return carryOut(plans, ORDER, { audit: new AuditLog(publisher, '/test'), publisher, lookup: kafka.recordLookup() });
  }

  const replaysOf = async (id: string): Promise<{ partition: number; offset: number; asked: Offset }[]> =>
    (await readTopic(kafka, CUSTODY_IMAGES))
      .filter(({ headers }) => isCustodyReplay(headers) && headers['ce_subject'] === id)
      .map(({ partition, offset, value }) => ({ partition, offset, asked: parseCustodyReplay(value).offset }));

  it('is listed once, with how often, why, and that its source is there', async () => {
    const id = newId();
    const place = await putAside(id, 3);
    await letterOf(id, place, 3);
    expect(await stateOf(id)).toMatchObject({
      ...place,
      topic: CUSTODY_IMAGES,
      key: id,
      code: 'INTERNAL',
      attempts: 3,
      letters: 2,
      status: 'open',
      isSourceThere: true,
      isReplaced: false,
    });
    expect(await readDeadLetters(kafka, { key: id, code: 'ENOSPC' })).toEqual([]);
    expect(await readDeadLetters(kafka, { key: id, since: '2999-01-01T00:00:00Z' })).toEqual([]);
    expect(await readDeadLetters(kafka, { key: id, topic: 'searches.' })).toEqual([]);
  });

  it('is listed beside a gallery of which nothing can have been put aside', async () => {
    const of = {
      modelId: modelId(randomUUID().replaceAll('-', '').slice(0, 16)),
      profile: 'local',
      replication: 1,
    } as const;
    const templates = desiredTopics(of).filter(({ name }) => name === galleryTemplates(of.modelId));
    await kafka.topicAdmin().applyTopics(templates);
    const id = newId();
    await putAside(id);
    expect(await stateOf(id)).toMatchObject({ status: 'open' });
    await kafka.topicAdmin().deleteTopics([galleryTemplates(of.modelId)], `dead-${tag}`);
  });

  it('is asked for by a reference in its own partition, on record before, and once however often it is asked', async () => {
    const id = newId();
    const place = await putAside(id);
    expect(await verdictOn(id)).toBe('REPLAY');
    expect(await replay(id)).toHaveLength(1);
    expect(await replaysOf(id)).toMatchObject([{ partition: place.partition, asked: place.offset }]);
    const entries = (await readTopic(kafka, AUDIT_ENTRIES)).map(({ value }) => JSON.parse(String(value)) as object);
    expect(entries).toContainEqual(
      expect.objectContaining({
        action: 'dead-letters-replayed',
        actor: ORDER.by,
        justification: ORDER.reason,
        imageIds: [id],
      }),
    );
    expect(await stateOf(id)).toMatchObject({ status: 'replayed', letters: 1 });
    expect(await verdictOn(id)).toBe('REPLAYED_BEFORE');
    expect(await replay(id)).toEqual([]);
    expect(await replaysOf(id)).toHaveLength(1);
  });

  it('is open again when it is put aside again, and repaired when it has an outcome', async () => {
    const id = newId();
    const place = await putAside(id);
    await replay(id);
    await letterOf(id, place);
    expect(await stateOf(id)).toMatchObject({ status: 'open', letters: 2 });
    await outcome(id, place, { outcome: 'refused', code: 'NO_FACE', detail: 'No face was found.' });
    expect(await stateOf(id)).toMatchObject({ status: 'repaired', outcome: 'refused' });
    expect(await verdictOn(id)).toBe('REPAIRED');
  });

  it('is not sent again when it was erased, replaced by a later image, or is no longer in its log', async () => {
    const [gone, replaced, missing] = [newId(), newId(), newId()];
    const place = await putAside(gone);
    const { offset: sourceOffset } = place;
    const since = new Date().toISOString();
    const disposition = {
      imageId: gone,
      since,
      authority: 'test',
      reason: 'test',
      kind: 'erased' as const,
      sourceOffset,
    };
    await publisher.publish(dispositionRecord(gone, disposition, '/test'));
    erased.set(gone, disposition);
    expect(await verdictOn(gone)).toBe('ERASED');

    const { partition, offset } = await putAside(replaced);
    const later = { partition, offset: (offset + 1) as Offset };
    const face = { faceBox: { left: 0, top: 0, right: 1, bottom: 1 }, facesFound: 1, embeddingNorm: 3, warnings: [] };
    const template = { partition, offset: 0 as Offset };
    await outcome(replaced, later, { outcome: 'enrolled', modelId: '0123456789abcdef', template, ...face });
    expect(await verdictOn(replaced)).toBe('SUPERSEDED');

    await putAside(missing);
    const state = { ...(await stateOf(missing)), isSourceThere: false };
    expect(planReplays([state], () => undefined)[0]!.verdict).toBe('SOURCE_GONE');
    for (const id of [gone, replaced]) expect(await replay(id)).toEqual([]);
    for (const id of [gone, replaced]) expect(await replaysOf(id)).toEqual([]);
  });

  it('of a decision is sent as it was; a request for a search is not, because its assertion is not good any more', async () => {
    const key = randomUUID();
    const command = { topic: SEARCHES_COMMANDS, key, value: Buffer.from('{"a":1}'), headers: { ce_id: key } };
    const place = await publisher.publish(command);
    const cause = { code: 'INTERNAL', detail: 'x', attempts: 1 };
    await publisher.publish(deadLetterFor({ topic: SEARCHES_COMMANDS, ...place, key: Buffer.from(key) }, cause));
    expect(await replay(key)).toHaveLength(1);
    const sent = (await readTopic(kafka, SEARCHES_COMMANDS)).filter((record) => record.key?.toString() === key);
    expect(sent.map(({ partition, value, headers }) => ({ partition, value, headers }))).toEqual(
      Array.from({ length: 2 }, () => ({
        partition: place.partition,
        value: command.value,
        headers: command.headers,
      })),
    );
    const asked = randomUUID();
    const request = await publisher.publish({ topic: SEARCHES_REQUESTS, key: asked, value: Buffer.from('probe') });
    await publisher.publish(deadLetterFor({ topic: SEARCHES_REQUESTS, ...request, key: Buffer.from(asked) }, cause));
    expect(await verdictOn(asked)).toBe('NOT_REPLAYABLE');
  });
});
