/** The gallery as a query replica asks it; the index is stood in for by what it would answer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeGalleryReply, galleryReplyHeaders, parseGalleryQuery } from '#contracts/gallery-query.js';
import { partitionFor } from '#contracts/murmur2.js';
import { desiredTopics, GALLERY_QUERIES, GALLERY_REPLIES } from '#contracts/topics.js';
import { TEMPLATE_PARTITIONS, type GalleryCandidate } from '#domain/gallery.js';
import { offset, type ImageId, type ModelId, type SubjectId } from '#domain/ids.js';
import type { LogReader } from '#kafka/log-reader.js';
import { clientForTests, silentLog } from '#testkit/kafka-test-helpers.js';
import { GalleryClient, type GalleryAnswer } from './gallery-client.js';

const modelId = 'c0d170c0d170c0d1' as ModelId;
const kafka = clientForTests();
const fatal: unknown[] = [];
const onFatal = (error: unknown): void => void fatal.push(error);
let index: LogReader;
/** Then it is silent. */
let answersLeft = Infinity;

const candidate = (subject: string, image: string, score: number): GalleryCandidate => ({
  subjectId: subject as SubjectId,
  imageId: image as ImageId,
  score,
  sourceOffset: offset(1),
});
/** Of the one subject the newest image, which was enrolled a moment ago, is the most similar. */
const enrolled = [candidate('s-1', 'img-new', 0.9), candidate('s-1', 'img-old', 0.8), candidate('s-2', 'img-2', 0.7)];

beforeAll(async () => {
  const topics = desiredTopics({ modelId, profile: 'local', replication: 1 });
  const ours: readonly string[] = [GALLERY_QUERIES, GALLERY_REPLIES];
  await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => ours.includes(name)));
  const publisher = kafka.publisher();
  index = kafka.logReader({
    topic: GALLERY_QUERIES,
    partitions: [0],
    from: 'end',
    onFatal,
    onBatch: async ({ records }) => {
      for (const { headers } of records) {
        const query = parseGalleryQuery(headers);
        if (query.modelId !== modelId || answersLeft-- <= 0) continue;
        const left = enrolled.filter(({ imageId }) => !query.filter?.excludeImageIds?.includes(imageId));
        const best = new Map(left.toReversed().map((one) => [one.subjectId, one]));
        const coverage = Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => ({
          partition,
          watermark: offset(9),
          enrolled: 1,
          unusable: 0,
          behindMs: 0,
        }));
        const reply = { queryId: query.queryId, modelId, replicaId: 'test', mode: 'exact', engineMs: 1 } as const;
        await publisher.publish({
          topic: GALLERY_REPLIES,
          key: 'test',
          partition: query.replyPartition,
          value: encodeGalleryReply({ ...reply, coverage, candidates: [...best.values()] }),
          headers: galleryReplyHeaders(query.queryId, '/test'),
        });
      }
    },
  });
  await index.start();
});
afterAll(async () => {
  await index.close();
  await kafka.close();
  expect(fatal).toEqual([]);
});

type IsDirectedOut = (image: ImageId, subject: SubjectId) => boolean;

async function search(isDirectedOut?: IsDirectedOut, withinMs = 10_000): Promise<GalleryAnswer> {
  const instance = `gallery-client-${Math.random()}`;
  const publisher = kafka.publisher();
  const client = new GalleryClient(
    kafka,
    publisher,
    modelId,
    instance,
    () => undefined,
    silentLog,
    onFatal,
    isDirectedOut,
  );
  await client.start();
  const query = { probe: new Float32Array(4), limit: 6, mode: 'exact', filter: undefined, withinMs } as const;
  const answer = await client.search(query);
  await client.close();
  expect(answer.missing).toEqual([]);
  return answer;
}

async function found(isDirectedOut?: IsDirectedOut): Promise<readonly ImageId[]> {
  const { candidates, incomplete } = await search(isDirectedOut);
  expect(incomplete).toEqual([]);
  return candidates.map(({ imageId }) => imageId);
}

describe('a search of the gallery', () => {
  it('gives each subject by its best image', async () => {
    expect(await found()).toEqual(['img-new', 'img-2']);
  });

  it('leaves out whom a direction restricts, also by an image whose disposition is still to be written', async () => {
    expect(await found((_, subject) => subject === 's-1')).toEqual(['img-2']);
  });

  it('gives the next best image of a subject of whom one image is restricted', async () => {
    expect(await found((image) => image === 'img-new')).toEqual(['img-old', 'img-2']);
  });

  it('keeps the answer that it has when asking again brings less, and says where it may lack somebody', async () => {
    answersLeft = 1;
    const { candidates, incomplete } = await search((image) => image === 'img-new', 2_000);
    answersLeft = Infinity;
    expect(candidates.map(({ imageId }) => imageId)).toEqual(['img-2']);
    expect(incomplete).toEqual([partitionFor(Buffer.from('img-new'), TEMPLATE_PARTITIONS)]);
  });
});
