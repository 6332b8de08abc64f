import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { parseCustodyImage } from '#contracts/custody-image.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { Failure } from '#domain/errors.js';
import type { FaceBox } from '#domain/face.js';
import type { HeldImage } from '#domain/held-image.js';
import type { ImageId, Offset } from '#domain/ids.js';
import { FacePool } from '#face/face-pool.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { custodyImageName } from '#platform/image-store.js';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { Rectification } from './rectification.js';
import {
  dataProtection,
  enrolForTests,
  newImageId,
  newSubjectId,
  subjectRightsForTests,
  trailOf,
  type SubjectRights,
} from './subject-rights-for-tests.js';

const fetched = await unlessOffline(Promise.all([modelPackFolderForTests(), samplePhotographsForTests()]));
const why = { reason: 'Booked under the wrong custody record.', authority: 'DPA 2018 s.46' };

describe.runIf(fetched)('the correction of what is said about a custody image', () => {
  if (fetched === undefined) return;
  const [packFolder, sample] = fetched;
  let rights: SubjectRights;
  let faces: FacePool;
  let rectification: Rectification;
  /** Of several people, with the boxes of all faces found. */
  let group: Buffer;
  let boxes: readonly FaceBox[];

  beforeAll(async () => {
    rights = await subjectRightsForTests();
    faces = await FacePool.open({ packFolder, processes: 1 });
    rectification = rectificationWith(rights.audit);
    group = await sample.read(sample.manifest.enrolled.find(({ photograph }) => photograph === 'sample1')!);
    boxes = (await faces.process(group, 'largest')).faces.map(({ box }) => box);
  });
  afterAll(async () => {
    await rights.close();
    await faces.close();
    expect(rights.fatal).toEqual([]);
  });

  function rectificationWith(audit: AuditLog): Rectification {
    const { publisher, register, images, dispositions } = rights;
    return new Rectification(publisher, audit, register, images, faces, (id) => dispositions.get(id));
  }

  /** In the register, and its photograph in the store. @param face of which the template is, by its box */
  async function held(face = 1): Promise<HeldImage> {
    const metadata = {
      imageId: newImageId(),
      subjectId: newSubjectId(),
      force: 'gwent',
      custodyReference: 'GW/1',
      ageBand: '18-24',
      faceBox: boxes[face]!,
    } as const;
    const from = await rights.publisher.publish({ topic: CUSTODY_IMAGES, key: metadata.imageId, value: group });
    const sourceOffset = from.offset;
    await rights.images.put(custodyImageName(metadata.imageId, sourceOffset), group);
    return enrolForTests(rights, metadata, {
      sourceOffset,
      keeping: { lawfulBasis: 'PACE s.64A', reviewDue: '2032-02-03', face },
    });
  }

  async function recordsOf(id: ImageId): Promise<KafkaRecord[]> {
    const all = await readTopic(rights.kafka, CUSTODY_IMAGES);
    return all.filter(({ key, headers }) => key?.toString() === id && headers['ce_correctionof'] !== undefined);
  }

  it('enrols the photograph that is held once more, with what is corrected, the same face, and the rest as it was', async () => {
    const image = await held();
    const right = newSubjectId();
    const fields = { subjectId: right, ageBand: '10-17', force: null } as const;
    const accepted = await rectification.correct(dataProtection, image.imageId, { fields, ...why });
    expect(accepted).toMatchObject({ imageId: image.imageId, corrected: ['ageBand', 'force', 'subjectId'] });
    const [record] = await recordsOf(image.imageId);
    expect(record).toMatchObject(accepted.source);
    expect(record!.value!.equals(group)).toBe(true);
    expect(parseCustodyImage(image.imageId, { ...record!.headers })).toEqual({
      imageId: image.imageId,
      subjectId: right,
      custodyReference: 'GW/1',
      ageBand: '10-17',
      lawfulBasis: 'PACE s.64A',
      reviewDue: '2032-02-03',
      face: 1,
      correctionOf: image.sourceOffset,
      photographFrom: image.sourceOffset,
    });
  });

  it('finds the face by its box where the faces are counted otherwise now', async () => {
    const image = await held(2);
    for (const face of [0, 99]) {
      const other = { ...image, face };
      const { publisher, audit, images, dispositions } = rights;
      const counted = new Rectification(publisher, audit, { image: () => other }, images, faces, (id) =>
        dispositions.get(id),
      );
      await counted.correct(dataProtection, image.imageId, { fields: { sex: 'female' }, ...why });
      const records = await recordsOf(image.imageId);
      expect(records.at(-1)!.headers['ce_face']).toBe('2');
    }
  });

  it('is refused rather than made with another face', async () => {
    const image = await held();
    const elsewhere = { ...image, faceBox: { left: 0, top: 0, right: 4, bottom: 4 } };
    const { publisher, audit, images } = rights;
    const lost = new Rectification(publisher, audit, { image: () => elsewhere }, images, faces, () => undefined);
    const correct = lost.correct(dataProtection, image.imageId, { fields: { sex: 'female' }, ...why });
    expect(await codeOfAsync(() => correct)).toBe('FACE_NOT_FOUND_AGAIN');
    expect(await recordsOf(image.imageId)).toEqual([]);
  });

  it('is in the audit before it is made: which fields, not what they said; and not made when it cannot be', async () => {
    const image = await held();
    const broken = new AuditLog({ publishAll: () => Promise.reject(new Failure('KAFKA_UNAVAILABLE', '', true)) }, '/t');
    const correction = { fields: { custodyReference: 'GW/SECRET' }, ...why };
    const refused = rectificationWith(broken).correct(dataProtection, image.imageId, correction);
    expect(await codeOfAsync(() => refused)).toBe('AUDIT_UNAVAILABLE');
    expect(await recordsOf(image.imageId)).toEqual([]);
    await rectification.correct(dataProtection, image.imageId, correction);
    const entry = (await trailOf(rights, image.subjectId)).find(({ action }) => action === 'image-rectified');
    expect(entry).toMatchObject({ operation: 'alteration', detail: { fields: 'custodyReference' } });
    expect(JSON.stringify(entry)).not.toContain('GW/SECRET');
  });

  it('waits for the one before it, and tells a caller who knows an older version', async () => {
    const image = await held();
    const correction = { fields: { sex: 'female' }, ...why } as const;
    const { source } = await rectification.correct(dataProtection, image.imageId, correction);
    const again = (expectedSourceOffset?: Offset): Promise<string | undefined> =>
      codeOfAsync(() =>
        rectification.correct(dataProtection, image.imageId, {
          ...correction,
          ...(expectedSourceOffset !== undefined && { expectedSourceOffset }),
        }),
      );
    expect(await again()).toBe('CORRECTION_UNDER_WAY');
    // Ingest has enrolled it.
    await rights.images.put(custodyImageName(image.imageId, source.offset as Offset), group);
    const { acceptedAt: _accepted, sourceOffset: _before, ...metadata } = image;
    await enrolForTests(rights, metadata, { sourceOffset: source.offset });
    expect(await again(image.sourceOffset)).toBe('VERSION_CONFLICT');
    expect(await again(source.offset as Offset)).toBeUndefined();
  });

  it('of an image that is not held, or whose photograph is just being replaced, is refused', async () => {
    const correction = { fields: { sex: 'female' }, ...why } as const;
    const correct = (id: ImageId): Promise<string | undefined> =>
      codeOfAsync(() => rectification.correct(dataProtection, id, correction));
    expect(await correct(newImageId())).toBe('IMAGE_NOT_HELD');
    const image = await held();
    await rights.images.delete(custodyImageName(image.imageId, image.sourceOffset));
    expect(await correct(image.imageId)).toBe('PHOTOGRAPH_NOT_FOUND');
  });
});
