import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { decodeTemplate, parseTemplateKeeping } from '#contracts/template-record.js';
import {
  AUDIT_ENTRIES,
  CUSTODY_OUTCOMES,
  galleryTemplates,
  GALLERY_GAPS,
  generationTopics,
} from '#contracts/topics.js';
import type { Disposition } from '#domain/disposition.js';
import type { FaceBox } from '#domain/face.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { FacePool } from '#face/face-pool.js';
import { GapFollower } from '#kafka/gap-follower.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { custodyImageName } from '#platform/image-store.js';
import { IngestMetrics } from '#platform/metrics.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { secondModelPackForTests } from '#testkit/second-model-pack.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { CollectionAudit } from './collection-audit.js';
import { EnrolmentForTests, image, parsed, systemError } from './enrolment-for-tests.js';
import { GENERATION_SOURCE, GenerationBuild } from './generation-build.js';

const sample = await unlessOffline(samplePhotographsForTests());
const packFolder = sample === undefined ? undefined : await unlessOffline(modelPackFolderForTests());

type Enrolled = ImageOutcome & { readonly outcome: 'enrolled' };

describe.skipIf(packFolder === undefined)('the gallery of another model', () => {
  let ingest: EnrolmentForTests;
  let home: string;
  let faces: FacePool;
  let gaps: GapFollower;
  let metrics: IngestMetrics;
  const signal = new AbortController().signal;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'generation-'));
    await secondModelPackForTests(join(home, 'pack'));
    faces = await FacePool.open({ packFolder: join(home, 'pack'), processes: 1 });
    ingest = await EnrolmentForTests.start(packFolder!, sample!);
    const { modelId } = faces;
    await ingest.kafka.topicAdmin().applyTopics(generationTopics({ modelId, profile: 'local', replication: 1 }));
    gaps = new GapFollower(ingest.kafka, silentLog, (error) => void ingest.fatal.push(error));
    await gaps.start();
    metrics = new IngestMetrics();
  });

  afterAll(async () => {
    expect(ingest?.fatal).toEqual([]);
    await ingest?.close();
    await faces?.close();
    await rm(home, { recursive: true, force: true });
  });

  function buildWith(
    parts: {
      readonly faces?: Pick<FacePool, 'process' | 'modelId'>;
      readonly images?: Pick<EnrolmentForTests['images'], 'get'>;
      readonly dispositionOf?: (id: ImageId) => Disposition | undefined;
      readonly audit?: Pick<AuditLog, 'append'>;
    } = {},
  ): GenerationBuild {
    const audit = parts.audit ?? new AuditLog(ingest.publisher, GENERATION_SOURCE);
    return new GenerationBuild(
      ingest.faces.modelId,
      parts.faces ?? faces,
      parts.images ?? ingest.images,
      ingest.publisher,
      parts.dispositionOf ?? ((id) => ingest.dispositions.get(id)),
      gaps,
      new CollectionAudit(audit, faces.modelId, () => false, silentLog, {
        operation: 'alteration',
        action: 'templates-made-by-next-model',
        purpose: 'model-change',
      }),
      metrics,
      silentLog,
    );
  }

  async function enrolled(more: Parameters<typeof image>[1] = {}): Promise<{ outcome: Enrolled; record: KafkaRecord }> {
    const id = ingest.newId();
    const outcome = await ingest.submitImage(image(id, more), ingest.portrait);
    expect(outcome.outcome).toBe('enrolled');
    const record = await eventually(() => {
      const [found] = ingest.templatesOf(id);
      return found ?? Promise.reject(new Error('no template yet'));
    });
    return { outcome: outcome as Enrolled, record };
  }

  const follow = (records: readonly KafkaRecord[], build = buildWith()): Promise<void> =>
    build.handleBatch({ records, signal });

  async function recordsOf(topic: string, key: string): Promise<KafkaRecord[]> {
    return (await readTopic(ingest.kafka, topic)).filter((record) => record.key?.toString() === key);
  }

  const built = (id: ImageId): Promise<KafkaRecord[]> => recordsOf(galleryTemplates(faces.modelId), id);
  const gapsOf = async (id: ImageId): Promise<(string | null)[]> =>
    (await recordsOf(GALLERY_GAPS, `${faces.modelId}/${id}`)).map(({ value }) =>
      value === null ? null : (JSON.parse(value.toString()) as { code: string }).code,
    );

  const erasedAt = (imageId: ImageId, sourceOffset: Offset): Disposition => ({
    imageId,
    kind: 'erased',
    since: '2026-01-01T00:00:00Z',
    authority: 'a',
    reason: 'r',
    sourceOffset,
  });

  it('holds the photograph that is kept, through its own pack, with what was said of it and the place it came from', async () => {
    const { outcome, record } = await enrolled({ force: 'kent', lawfulBasis: 'PACE s.64A', reviewDue: '2032-02-03' });
    await follow([record]);
    const [made, ...others] = await built(outcome.imageId);
    expect(others).toEqual([]);
    const { modelId, metadata, source } = parsed(made!);
    expect(modelId).toBe(faces.modelId);
    expect(source).toEqual(parsed(record).source);
    expect({ ...metadata, faceBox: 0, embeddingNorm: 0 }).toEqual({
      ...parsed(record).metadata,
      faceBox: 0,
      embeddingNorm: 0,
    });
    expect(parseTemplateKeeping(made!.headers)).toEqual(parseTemplateKeeping(record.headers));
    const photograph = await ingest.storedOf(outcome);
    const { embedded } = await faces.process(photograph!, undefined);
    expect(decodeTemplate(made!.value!, faces.dimension)).toEqual(embedded.template);
    expect(cosine(embedded.template, decodeTemplate(record.value!, faces.dimension))).toBeLessThan(0.99);
  });

  it('is of the face that was enrolled, though there are others in the photograph', async () => {
    const id = ingest.newId();
    const outcome = (await ingest.submitImage(image(id, { face: 1 }), ingest.group)) as Enrolled;
    const record = await eventually(() => ingest.templatesOf(id)[0] ?? Promise.reject(new Error('not yet')));
    await follow([record]);
    const box = parsed((await built(id))[0]!).metadata.faceBox as FaceBox;
    expect(box.left).toBeCloseTo(outcome.faceBox.left, -1);
    expect(outcome.facesFound).toBeGreaterThan(1);
  });

  it('names each image in the audit before its template is in the log', async () => {
    const { outcome, record } = await enrolled();
    const real = new AuditLog(ingest.publisher, GENERATION_SOURCE);
    const builtBefore: number[] = [];
    const append = async (statements: Parameters<AuditLog['append']>[0]): Promise<void> => {
      builtBefore.push((await built(outcome.imageId)).length);
      await real.append(statements);
    };
    await follow([record], buildWith({ audit: { append } }));
    expect(builtBefore).toEqual([0]);
    const entries = (await readTopic(ingest.kafka, AUDIT_ENTRIES)).filter(({ value }) =>
      value?.includes(outcome.imageId),
    );
    const actions = entries.map(({ value }) => (JSON.parse(value!.toString()) as { action: string }).action);
    expect(actions).toContain('templates-made-by-next-model');
    expect(await built(outcome.imageId)).toHaveLength(1);
  });

  it('has the restricted too: what a search may return is decided by the disposition, in every gallery', async () => {
    const { outcome, record } = await enrolled();
    const { imageId } = outcome;
    const restricted: Disposition = { ...erasedAt(imageId, outcome.source.offset), kind: 'restricted' };
    await follow([record], buildWith({ dispositionOf: () => restricted }));
    expect((await built(imageId))[0]?.value).not.toBeNull();
  });

  describe('what is erased', () => {
    it('is not built, whoever reads its template', async () => {
      const { outcome, record } = await enrolled();
      const { imageId, source } = outcome;
      await follow([record], buildWith({ dispositionOf: () => erasedAt(imageId, source.offset) }));
      expect(await built(imageId)).toEqual([]);
      expect(await gapsOf(imageId)).toEqual([]);
    });

    it('goes again when the erasure is decided while its template is made', async () => {
      const { outcome, record } = await enrolled();
      const { imageId, source } = outcome;
      let asked = 0;
      // Known only after the template was published.
      const dispositionOf = (): Disposition | undefined => (++asked > 2 ? erasedAt(imageId, source.offset) : undefined);
      await follow([record], buildWith({ dispositionOf }));
      const records = await built(imageId);
      expect(records).toHaveLength(2);
      expect(records.at(-1)!.value).toBeNull();
    });

    it('is taken out by the tombstone of the gallery that is followed', async () => {
      const { outcome, record } = await enrolled();
      await follow([record, { ...record, value: null, headers: {}, offset: (record.offset + 1) as Offset }]);
      expect((await built(outcome.imageId)).at(-1)!.value).toBeNull();
    });
  });

  describe('an image that the other pack can make no template of', () => {
    const blind = (): Pick<FacePool, 'process' | 'modelId'> => ({
      modelId: faces.modelId,
      process: () => faces.process(ingest.landscape, undefined),
    });

    it('is said with its reason, in the place for that, and nothing is said to the custody system', async () => {
      const { outcome, record } = await enrolled();
      const { imageId } = outcome;
      await follow([record], buildWith({ faces: blind() }));
      expect(await gapsOf(imageId)).toEqual(['NO_FACE']);
      await eventually(() => expect(gaps.of(faces.modelId).get(imageId)?.sourceOffset).toBe(outcome.source.offset));
      expect((await recordsOf(CUSTODY_OUTCOMES, imageId)).length).toBe(1);
    });

    it('is lacking no longer once it is built after all', async () => {
      const { outcome, record } = await enrolled();
      await follow([record], buildWith({ faces: blind() }));
      await eventually(() => expect(gaps.of(faces.modelId).has(outcome.imageId)).toBe(true));
      await follow([record]);
      expect(await gapsOf(outcome.imageId)).toEqual(['NO_FACE', null]);
      expect((await built(outcome.imageId)).at(-1)!.value).not.toBeNull();
    });

    it('is lacking no longer once it is erased', async () => {
      const { outcome, record } = await enrolled();
      await follow(
        [record, { ...record, value: null, headers: {}, offset: (record.offset + 1) as Offset }],
        buildWith({ faces: blind() }),
      );
      expect(await gapsOf(outcome.imageId)).toEqual(['NO_FACE', null]);
    });

    it('is one whose face is not where it was enrolled', async () => {
      const { outcome, record } = await enrolled();
      const headers = { ...record.headers, ce_facebox: '0,0,4,4' };
      await follow([{ ...record, headers }]);
      expect(await gapsOf(outcome.imageId)).toEqual(['FACE_NOT_FOUND_BY_MODEL']);
    });

    it('is one whose photograph is gone from the store', async () => {
      const { outcome, record } = await enrolled();
      await ingest.images.delete(custodyImageName(outcome.imageId, outcome.source.offset));
      await follow([record]);
      expect(await gapsOf(outcome.imageId)).toEqual(['PHOTOGRAPH_NOT_HELD']);
    });
  });

  it('waits for a disk that fails, and then holds the image', async () => {
    const { outcome, record } = await enrolled();
    const faults = [systemError('EIO'), systemError('EIO'), systemError('EIO'), systemError('EIO')];
    const images = {
      get: (name: Parameters<EnrolmentForTests['images']['get']>[0]) => {
        const fault = faults.pop();
        return fault === undefined ? ingest.images.get(name) : Promise.reject(fault);
      },
    };
    await follow([record], buildWith({ images }));
    expect(await built(outcome.imageId)).toHaveLength(1);
    expect(await gapsOf(outcome.imageId)).toEqual([]);
  });

  it('says of what the running gallery cannot use that the image is missing, and makes no gap of it', async () => {
    const { record } = await enrolled();
    const id = ingest.newId();
    await follow([{ ...record, key: Buffer.from(id), headers: { ...record.headers, ce_subjectid: '' } }]);
    expect(await built(id)).toMatchObject([{ headers: { ce_type: 'gallery.template-unusable.v1' } }]);
    expect(await gapsOf(id)).toEqual([]);
  });
});

function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}
