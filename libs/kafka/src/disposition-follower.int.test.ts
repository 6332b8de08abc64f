import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dispositionHeaders, encodeDisposition } from '#contracts/disposition-record.js';
import { CUSTODY_DISPOSITIONS, desiredTopics } from '#contracts/topics.js';
import { erasedThrough, isErased, type Disposition } from '#domain/disposition.js';
import type { ImageId, ModelId, Offset } from '#domain/ids.js';
import { clientForTests, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { DispositionFollower, type DispositionChange } from './disposition-follower.js';
import type { KafkaClient } from './kafka-client.js';
import type { RecordPosition } from './kafka-record.js';

let kafka: KafkaClient;
const fatal: unknown[] = [];
beforeAll(async () => {
  kafka = clientForTests();
  const topics = desiredTopics({ modelId: 'a0d170a0d170a0d1' as ModelId, profile: 'local', replication: 1 });
  await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => name === CUSTODY_DISPOSITIONS));
});
afterAll(async () => {
  await kafka.close();
  expect(fatal).toEqual([]);
});

const newId = (): ImageId => `test-${randomUUID()}` as ImageId;

function write(id: ImageId, value: Disposition | string | null): Promise<RecordPosition> {
  const bytes = value === null || typeof value === 'string' ? value : encodeDisposition(value);
  return kafka
    .publisher()
    .publish({ topic: CUSTODY_DISPOSITIONS, key: id, value: bytes, headers: dispositionHeaders(id, '/test') });
}

function disposition(imageId: ImageId, kind: Disposition['kind'], sourceOffset: number): Disposition {
  const why = { since: '2026-01-01T00:00:00.000Z', authority: 'a', reason: 'r' };
  return { imageId, kind, ...why, sourceOffset: sourceOffset as Offset };
}

async function withFollower(
  test: (follower: DispositionFollower, changes: readonly DispositionChange[]) => Promise<void>,
): Promise<void> {
  const changes: DispositionChange[] = [];
  const follower = new DispositionFollower(
    kafka,
    silentLog,
    (error) => void fatal.push(error),
    async (more) => void changes.push(...more),
  );
  await follower.start();
  await test(follower, changes).finally(() => follower.close());
}

it('lifts no erasure, whatever is written after it, and hands on what is in force', async () => {
  const id = newId();
  await withFollower(async (follower, changes) => {
    await write(id, disposition(id, 'erased', 20));
    await write(id, disposition(id, 'erased', 10));
    await write(id, disposition(id, 'restricted', 30));
    const { partition, offset } = await write(id, null);
    await eventually(() => expect(follower.hasRead(partition, offset)).toBe(true));
    const ofImage = changes.filter(({ imageId }) => imageId === id);
    expect(ofImage.map((change) => [change.disposition!.kind, erasedThrough(change.disposition!)])).toEqual([
      ['erased', 20],
      ['erased', 20],
      ['restricted', 20],
      ['erased', 20],
    ]);
    expect(ofImage.map(({ outlivesRecord }) => outlivesRecord)).toEqual([false, true, true, true]);
    expect(follower.get(id)).toEqual(ofImage.at(-1)!.disposition);
  });
});

it('comes to the same at the next start, from the records alone', async () => {
  const id = newId();
  await write(id, disposition(id, 'erased', 20));
  await write(id, null);
  await withFollower((follower) => {
    expect(isErased(follower.get(id), 20 as Offset)).toBe(true);
    expect(isErased(follower.get(id), 21 as Offset)).toBe(false);
    return Promise.resolve();
  });
});

it('keeps an image whose disposition cannot be read out of searches, and its erasure in force', async () => {
  const [id, erased] = [newId(), newId()];
  await write(erased, disposition(erased, 'erased', 20));
  await write(erased, '{"kind":');
  await write(id, '{"kind":');
  await withFollower((follower) => {
    expect(follower.get(id)).toMatchObject({ kind: 'restricted' });
    expect(erasedThrough(follower.get(id))).toBeUndefined();
    expect(follower.get(erased)).toMatchObject({ kind: 'restricted', erasedThrough: 20 });
    return Promise.resolve();
  });
});
