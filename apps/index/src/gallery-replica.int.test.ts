import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  encodeTemplate,
  parseTemplateKeeping,
  parseTemplateRecord,
  templateHeaders,
} from '#contracts/template-record.js';
import { galleryTemplates } from '#contracts/topics.js';
import { FRESH_WITHIN_MS } from '#domain/gather.js';
import type { TemplateKeeping } from '#domain/gallery.js';
import { imageId, modelId, offset, subjectId, type ModelId } from '#domain/ids.js';
import { ShardHost, type ShardWorkerOptions } from '#gallery/shard-host.js';
import { pause } from '#kafka/backoff.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import { IndexMetrics } from '#platform/metrics.js';
import { clientForTests, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { GalleryReplica } from './gallery-replica.js';

const DIMENSION = 8;
/** One more than the reader has handler slots. */
const PARTITIONS = [0, 1, 2, 3, 4];
const LAST = 4;
const KEEPING: TemplateKeeping = {
  lawfulBasis: 'PACE 1984 s.64A',
  reviewDue: '2030-01-01',
  face: 1,
  photographFrom: offset(3),
};

let kafka: KafkaClient;
let clusterId: string;
beforeAll(async () => {
  kafka = clientForTests();
  clusterId = await kafka.topicAdmin().clusterId();
});
afterAll(() => kafka.close());

let model: ModelId;
let snapshotFolder: string;
const fatal: unknown[] = [];
const replicas: GalleryReplica[] = [];

beforeEach(async () => {
  model = modelId(randomBytes(8).toString('hex'));
  snapshotFolder = await mkdtemp(join(tmpdir(), 'replica-'));
  await topics(galleryTemplates(model), PARTITIONS.length);
});

afterEach(async () => {
  await Promise.all(replicas.splice(0).map((replica) => replica.close()));
  await rm(snapshotFolder, { recursive: true, force: true });
  expect(fatal.splice(0)).toEqual([]);
});

async function topics(name: string, partitions: number): Promise<void> {
  await kafka.topicAdmin().applyTopics([{ name, partitions, replication: 1, config: {} }]);
}

const deadLetters = (): string => `${galleryTemplates(model)}.dead-letters`;

function shard(more: Partial<ShardWorkerOptions> = {}): ShardWorkerOptions {
  return {
    clusterId,
    modelId: model,
    dimension: DIMENSION,
    layout: { shards: 1, shard: 0, workers: 1, worker: 0 },
    partitions: PARTITIONS,
    snapshotFolder,
    autoExactMaxTemplates: 1_000,
    recallSampleShare: 1,
    ...more,
  };
}

async function open(): Promise<GalleryReplica> {
  const options = { modelId: model, dimension: DIMENSION, shard: 0 };
  const replica = new GalleryReplica(kafka, kafka.publisher(), options, new IndexMetrics(), silentLog, (error) =>
    fatal.push(error),
  );
  replicas.push(replica);
  await replica.openWorkers([shard()]);
  await replica.followLog();
  return replica;
}

/** What the newest snapshot would start from. */
async function restored(): Promise<ShardHost['restored']> {
  const host = await ShardHost.start(shard());
  await host.close({ snapshot: false });
  return host.restored;
}

async function publishTemplate(partition: number, sourceOffset = 0, keeping?: TemplateKeeping): Promise<void> {
  const id = imageId(`image-${partition}`);
  const record = {
    modelId: model,
    metadata: { imageId: id, subjectId: subjectId('subject') },
    source: { sourceOffset: offset(sourceOffset), acceptedAtMs: Date.now() },
    ...(keeping !== undefined && { keeping }),
  };
  const vector = Float32Array.from({ length: DIMENSION }, (_, i) => (i === partition ? 1 : 0));
  const headers = templateHeaders(record, '/test');
  const topic = galleryTemplates(model);
  await kafka.publisher().publish({ topic, partition, key: id, value: encodeTemplate(vector), headers });
}

/** Ends in a dead letter, which its handler waits for. */
async function publishPoison(partition: number): Promise<void> {
  const topic = galleryTemplates(model);
  await kafka.publisher().publish({ topic, partition, key: `poison-${partition}`, value: 'not a template' });
}

/** Of the image whose template {@link publishTemplate} publishes. */
async function publishRubbish(partition: number): Promise<void> {
  const topic = galleryTemplates(model);
  await kafka.publisher().publish({ topic, partition, key: `image-${partition}`, value: 'rubbish' });
}

async function coverageOf(replica: GalleryReplica, partition: number) {
  const [answer] = replica.search({ probe: undefined, k: 0, mode: 'auto', filter: undefined });
  return (await answer!).coverage.find((part) => part.partition === partition)!;
}

describe('a replica of a shard', () => {
  it('says how long a partition has been behind while others take every handler slot', async () => {
    const replica = await open();
    expect(await coverageOf(replica, LAST)).toMatchObject({ watermark: 0, behindMs: 0 });
    // There is no topic for dead letters yet, so that these four handlers wait.
    for (const partition of PARTITIONS) if (partition !== LAST) await publishPoison(partition);
    await eventually(async () => expect((await coverageOf(replica, LAST - 1)).watermark).toBe(1));
    await publishTemplate(LAST);
    await pause(FRESH_WITHIN_MS + 500);
    const { watermark, behindMs } = await coverageOf(replica, LAST);
    expect(watermark).toBe(0);
    expect(behindMs).toBeGreaterThan(FRESH_WITHIN_MS);

    await topics(deadLetters(), 1);
    await eventually(async () => {
      expect(await coverageOf(replica, LAST)).toMatchObject({ watermark: 1, enrolled: 1, behindMs: 0 });
    });
  });

  it('writes no snapshot that is past a record whose dead letter is still to be published', async () => {
    const replica = await open();
    await publishTemplate(0);
    await eventually(async () => expect((await coverageOf(replica, 0)).watermark).toBe(1));
    await publishPoison(0);
    await publishTemplate(1);
    await eventually(async () => {
      expect((await coverageOf(replica, 0)).watermark).toBe(2);
      expect(await coverageOf(replica, 1)).toMatchObject({ watermark: 1, behindMs: 0 });
    });
    expect(await replica.snapshot('timer')).toBe(true);
    // As a process that is killed now would find it.
    const atKill = await restored();
    expect(atKill.templates).toBe(2);
    expect([atKill.nextOffsets.get(0), atKill.nextOffsets.get(1)]).toEqual([1, 1]);

    await topics(deadLetters(), 1);
    await eventually(async () => {
      expect((await kafka.topicAdmin().topicOffsets(deadLetters())).get(0)!.high).toBe(1);
      expect(await replica.snapshot('timer')).toBe(true);
      expect((await restored()).nextOffsets.get(0)).toBe(2);
    });
  });

  it('starts anew from the log when its snapshot is of another cluster, however well the offsets fit', async () => {
    await publishTemplate(0);
    const other = await ShardHost.start(shard({ clusterId: 'TnE4Rk1vUXhTN1dIYjFhMw' }));
    await other.apply([], [{ partition: 0, nextOffset: offset(1) }]);
    await other.close({ snapshot: true });
    const replica = await open();
    expect(await coverageOf(replica, 0)).toMatchObject({ watermark: 1, enrolled: 1 });
  });

  it('starts anew from the log when its snapshot is so old that tombstones may be gone, and not when it has all', async () => {
    await publishTemplate(0);
    await open();
    await replicas.pop()!.close();
    const later = { now: Date.now() + 6.5 * 86_400_000, toFake: ['Date' as const] };
    try {
      vi.useFakeTimers(later);
      await open();
      expect(await readdir(snapshotFolder)).toEqual(['1']);
      await replicas.pop()!.close();
      vi.useRealTimers();
      await publishTemplate(1);
      vi.useFakeTimers(later);
      const replica = await open();
      expect(await readdir(snapshotFolder)).toEqual(['quarantine-1-SNAPSHOT_TOO_OLD']);
      expect(await coverageOf(replica, 1)).toMatchObject({ watermark: 1, enrolled: 1 });
      expect(await coverageOf(replica, 0)).toMatchObject({ watermark: 1, enrolled: 1 });
    } finally {
      vi.useRealTimers();
    }
  });

  it('starts anew from the log when its snapshot is past the end of the topic', async () => {
    await publishTemplate(0);
    const other = await ShardHost.start(shard());
    await other.apply([], [{ partition: 0, nextOffset: offset(9) }]);
    await other.close({ snapshot: true });
    const replica = await open();
    expect(await coverageOf(replica, 0)).toMatchObject({ watermark: 1, enrolled: 1 });
    expect(await readdir(snapshotFolder)).toEqual(['quarantine-1-SNAPSHOT_OUTSIDE_LOG']);
  });

  it('says that an image is missing whose record cannot be used, before and after a restart, until it is enrolled', async () => {
    await topics(deadLetters(), 1);
    const replica = await open();
    await publishRubbish(0);
    await eventually(async () => expect(await coverageOf(replica, 0)).toMatchObject({ watermark: 1, unusable: 1 }));
    await replicas.pop()!.close();
    const fromSnapshot = await open();
    expect(await coverageOf(fromSnapshot, 0)).toMatchObject({ watermark: 1, unusable: 1 });
    await replicas.pop()!.close();
    await rm(snapshotFolder, { recursive: true });
    const fromLog = await open();
    expect(await coverageOf(fromLog, 0)).toMatchObject({ watermark: 1, enrolled: 0, unusable: 1 });
    await publishTemplate(0, 3);
    await eventually(async () => {
      expect(await coverageOf(fromLog, 0)).toMatchObject({ watermark: 2, enrolled: 1, unusable: 0 });
    });
  });

  it('puts the template that it holds back into the log, and why it is held, when an unusable record comes after it', async () => {
    await topics(deadLetters(), 1);
    await publishTemplate(0, 0, KEEPING);
    await (await open()).snapshot('clock');
    await replicas.pop()!.close();
    const replica = await open();
    await publishRubbish(0);
    await eventually(async () => {
      expect(await coverageOf(replica, 0)).toMatchObject({ watermark: 3, enrolled: 1, unusable: 0 });
    });
    const records = await readTopic(kafka, galleryTemplates(model));
    expect(records.map(({ value }) => value?.length)).toEqual([4 * DIMENSION, 7, 4 * DIMENSION]);
    expect(records[2]!.value).toEqual(records[0]!.value);
    expect(parseTemplateRecord(records[2]!.key, records[2]!.headers)).toEqual(
      parseTemplateRecord(records[0]!.key, records[0]!.headers),
    );
    expect(parseTemplateKeeping(records[2]!.headers)).toEqual(KEEPING);
    expect((await kafka.topicAdmin().topicOffsets(deadLetters())).get(0)!.high).toBe(1);
  });

  it('keeps what it has replayed when it is closed before the end, even while a handler waits for Kafka', async () => {
    await publishTemplate(0);
    await publishPoison(1);
    await publishTemplate(2);
    const following = open();
    following.catch(() => undefined);
    await eventually(async () => expect((await coverageOf(replicas[0]!, 2)).watermark).toBe(1));
    await replicas.pop()!.close();
    await expect(following).rejects.toMatchObject({ code: 'READER_STOPPED' });
    const { templates, nextOffsets } = await restored();
    expect(templates).toBe(2);
    expect([0, 1, 2].map((partition) => nextOffsets.get(partition))).toEqual([1, 0, 1]);
    // So that the handler that still waits ends with the test.
    await topics(deadLetters(), 1);
  });
});
