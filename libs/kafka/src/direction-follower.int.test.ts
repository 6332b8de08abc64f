import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { directionEnd, directionRecord } from '#contracts/direction-record.js';
import { CUSTODY_DIRECTIONS, desiredTopics } from '#contracts/topics.js';
import type { EvidenceHold } from '#domain/direction.js';
import type { ImageId, ModelId, SubjectId } from '#domain/ids.js';
import { clientForTests, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { DirectionFollower, type DirectionChange } from './direction-follower.js';
import type { KafkaClient } from './kafka-client.js';

let kafka: KafkaClient;
let follower: DirectionFollower;
const fatal: unknown[] = [];
const changes: DirectionChange[] = [];
beforeAll(async () => {
  kafka = clientForTests();
  const topics = desiredTopics({ modelId: 'a0d170a0d170a0d1' as ModelId, profile: 'local', replication: 1 });
  await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => name === CUSTODY_DIRECTIONS));
  follower = await started();
  follower.onChange((more) => changes.push(...more));
});
afterAll(async () => {
  await kafka.close();
  expect(fatal).toEqual([]);
});

async function started(): Promise<DirectionFollower> {
  const one = new DirectionFollower(kafka, silentLog, (error) => void fatal.push(error));
  await one.start();
  return one;
}

function holdOn(image: string, subject?: string): EvidenceHold {
  const directionId = randomUUID();
  const target = {
    imageIds: [image as ImageId],
    ...(subject !== undefined && { subjectId: subject as SubjectId }),
  };
  const why = { authority: 'CPIA 1996', reason: 'for the trial', by: 'dpo-1', role: 'data-protection' as const };
  return { directionId, kind: 'evidence-hold', target, ...why, at: '2026-01-02T03:04:05.678Z' };
}

const publish = (record: Parameters<ReturnType<KafkaClient['publisher']>['publish']>[0]) =>
  kafka.publisher().publish(record);
const newImage = (): string => `image-${randomUUID()}`;

it('knows of every direction that was acknowledged before it was asked up to the end of the log', async () => {
  for (let round = 0; round < 5; round++) {
    const [image, subject] = [newImage(), `subject-${randomUUID()}`];
    const hold = holdOn(image, subject);
    await publish(directionRecord(hold, '/test'));
    await Promise.all([follower.upToDate(), follower.upToDate(), follower.upToDate()]);
    expect(follower.holdsOn(image as ImageId, undefined)).toEqual([hold]);
    expect(follower.holdsOn('another' as ImageId, subject as SubjectId)).toEqual([hold]);
    expect(follower.get(hold.directionId)).toEqual(hold);
    expect(follower.all('evidence-hold')).toContainEqual(hold);
  }
});

it('ends a direction with its null, and tells whoever listens of both', async () => {
  const hold = holdOn(newImage());
  await publish(directionRecord(hold, '/test'));
  const end = await publish(directionEnd(hold.directionId, '/test'));
  await follower.reflects((end.offset + 1) as typeof end.offset);
  expect(follower.holdsOn(hold.target.imageIds[0]!, undefined)).toEqual([]);
  const ofHold = changes.filter(({ before, after }) => (before ?? after)?.directionId === hold.directionId);
  expect(ofHold).toEqual([
    { before: undefined, after: hold },
    { before: hold, after: undefined },
  ]);
});

it('comes to the same at its next start, from the records alone', async () => {
  const [kept, ended] = [holdOn(newImage()), holdOn(newImage())];
  await publish(directionRecord(kept, '/test'));
  await publish(directionRecord(ended, '/test'));
  await publish(directionEnd(ended.directionId, '/test'));
  const next = await started();
  expect([next.get(kept.directionId), next.get(ended.directionId)]).toEqual([kept, undefined]);
  await next.close();
});

it('keeps a hold in force whose later record cannot be read', async () => {
  const hold = holdOn(newImage());
  const record = directionRecord(hold, '/test');
  await publish(record);
  await publish({ ...record, value: Buffer.from('{"kind":') });
  await publish({ ...record, value: directionRecord(holdOn(newImage()), '/test').value });
  await follower.upToDate();
  expect(follower.get(hold.directionId)).toEqual(hold);
});

it('says that it is behind when the log is not read so far in time', async () => {
  const { offset } = await publish(directionRecord(holdOn(newImage()), '/test'));
  const later = (offset + 1_000_000) as typeof offset;
  await expect(follower.reflects(later, 10)).rejects.toMatchObject({ code: 'DIRECTIONS_BEHIND', retryable: true });
  await eventually(() => expect(follower.lagRecords()).toBe(0));
});
