import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { dispositionRecord } from '#contracts/disposition-record.js';
import { parseImageExportLine, type ImageExportLine } from '#contracts/image-export.js';
import { encodeOutcome, outcomeHeaders } from '#contracts/outcome-record.js';
import { AUDIT_ENTRIES, CUSTODY_OUTCOMES } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { Disposition } from '#domain/disposition.js';
import { Failure } from '#domain/errors.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { ImageExport } from './image-export.js';
import {
  dataProtection,
  enrolForTests,
  newImageId,
  newSubjectId,
  subjectRightsForTests,
  type SubjectRights,
} from './subject-rights-for-tests.js';

const AT = '2026-03-01T00:00:00.000Z';
/** Of a held image whose acceptance the tests do not name. */
const ACCEPTED_AT = '2026-02-03T00:00:00.000Z';

let rights: SubjectRights;
let folder: string;

beforeAll(async () => {
  rights = await subjectRightsForTests();
  folder = await mkdtemp(join(tmpdir(), 'image-export-'));
});
afterAll(async () => {
  await rights.close();
  await rm(folder, { recursive: true });
  expect(rights.fatal).toEqual([]);
});

function exportWith(more: { readonly audit?: AuditLog; readonly file?: string } = {}): ImageExport {
  const { kafka, audit, register, dispositions, directions, modelId } = rights;
  const file = join(folder, `${randomUUID()}.sqlite`);
  return new ImageExport({ kafka, audit, register, dispositions, directions, modelId, file, log: silentLog, ...more });
}

async function exported(images: ImageExport = exportWith()): Promise<readonly ImageExportLine[]> {
  let text = '';
  await images.begin(dataProtection);
  await images.write(async (lines) => void (text += lines));
  return text.trimEnd().split('\n').map(parseImageExportLine);
}

/** What the export says of these images, in its order; the topics have those of other tests. */
async function saidOf(...ids: readonly ImageId[]): Promise<readonly object[]> {
  const lines = await exported();
  return lines.filter((line) => line.kind === 'image' && ids.includes(line.imageId));
}

async function outcome(imageId: ImageId, offset: number, what: object): Promise<void> {
  const of = { imageId, at: AT, source: { partition: 3, offset: offset as Offset }, ...what } as ImageOutcome;
  const headers = outcomeHeaders(of, '/test');
  await rights.publisher.publish({ topic: CUSTODY_OUTCOMES, key: imageId, value: encodeOutcome(of), headers });
}

const refusal = (imageId: ImageId, offset: number, code = 'NO_FACE'): Promise<void> =>
  outcome(imageId, offset, { outcome: 'refused', code, detail: 'The picture shows no face.' });

async function dispose(imageId: ImageId, kind: Disposition['kind'], sourceOffset: number): Promise<void> {
  const why = { authority: 'DPA 2018 s.47', reason: 'Acquitted.' };
  const disposition = { imageId, kind, since: AT, sourceOffset: sourceOffset as Offset, ...why };
  await rights.publisher.publish(dispositionRecord(imageId, disposition, '/test'));
  await eventually(() => expect(rights.dispositions.get(imageId)?.kind).toBe(kind));
}

async function held(sourceOffset = 5): Promise<ImageId> {
  const imageId = newImageId();
  await enrolForTests(rights, { imageId, subjectId: newSubjectId() }, { sourceOffset });
  return imageId;
}

describe('the export of what became of every image', () => {
  it('says of what is held whose it is, in which state and since when, and never what it looks like', async () => {
    const imageId = newImageId();
    const subjectId = newSubjectId();
    const said = { force: 'Gwent', custodyReference: 'GW/1', capturedAt: '2026-02-03' };
    const keeping = { lawfulBasis: 'PACE s.64A', reviewDue: '2032-02-03', face: 0 };
    const metadata = { imageId, subjectId, ...said, sex: 'male', ageBand: '25-34' } as const;
    await enrolForTests(rights, metadata, { keeping, sourceOffset: 7 });
    expect(await saidOf(imageId)).toEqual([
      {
        kind: 'image',
        imageId,
        state: 'enrolled',
        at: ACCEPTED_AT,
        source: { partition: expect.any(Number), offset: 7 },
        subjectId,
        ...said,
        lawfulBasis: 'PACE s.64A',
        reviewDue: '2032-02-03',
      },
    ]);
  });

  it('tells apart what may be searched, what is restricted or retired, and what is directed so a moment ago', async () => {
    const [restricted, retired, directed, plain] = [await held(), await held(), await held(), await held()];
    await dispose(restricted, 'restricted', 5);
    await dispose(retired, 'retired', 5);
    const why = { reason: 'Disputed by Jane Roe.', authority: 'DPA 2018 s.47' };
    await rights.custodyDirections.give(dataProtection, 'restriction', { imageId: directed, ...why }, undefined);
    const lines = await saidOf(restricted, retired, directed, plain);
    expect(new Map(lines.map((line) => [Reflect.get(line, 'imageId'), Reflect.get(line, 'state')]))).toEqual(
      new Map([
        [restricted, 'restricted'],
        [retired, 'retired'],
        [directed, 'restricted'],
        [plain, 'enrolled'],
      ]),
    );
  });

  it('says of what is not held why: the last refusal, a failure, or its erasure', async () => {
    const [refused, failed, erased, again] = [newImageId(), newImageId(), await held(), await held()];
    await refusal(refused, 4, 'IMAGE_EMPTY');
    await refusal(refused, 9);
    await refusal(refused, 8, 'IMAGE_UNREADABLE');
    await outcome(failed, 2, { outcome: 'failed', code: 'INTERNAL', detail: 'It was put aside.' });
    await refusal(erased, 3);
    await dispose(erased, 'erased', 5);
    // Refused when it was sent again after its erasure.
    await dispose(again, 'erased', 5);
    await refusal(again, 8);
    const of = { kind: 'image', at: AT };
    const lines = await saidOf(refused, failed, erased, again);
    expect(lines).toEqual(
      [
        { ...of, imageId: refused, state: 'refused', code: 'NO_FACE', source: { partition: 3, offset: 9 } },
        { ...of, imageId: failed, state: 'failed', code: 'INTERNAL', source: { partition: 3, offset: 2 } },
        { ...of, imageId: erased, state: 'erased', source: { partition: expect.any(Number), offset: 5 } },
        { ...of, imageId: again, state: 'refused', code: 'NO_FACE', source: { partition: 3, offset: 8 } },
      ].toSorted((a, b) => (a.imageId < b.imageId ? -1 : 1)),
    );
  });

  it('names each image once: one that was refused before is held, and one that was refused since is held from before', async () => {
    const [before, since] = [await held(5), await held(5)];
    await refusal(before, 4);
    await refusal(since, 6);
    const lines = await saidOf(before, since);
    expect(lines).toHaveLength(2);
    expect(lines.find((line) => Reflect.get(line, 'imageId') === before)).not.toHaveProperty('later');
    expect(lines.find((line) => Reflect.get(line, 'imageId') === since)).toMatchObject({
      state: 'enrolled',
      source: { offset: 5 },
      later: { state: 'refused', code: 'NO_FACE', at: AT, source: { partition: 3, offset: 6 } },
    });
  });

  it('has what was enrolled up to its beginning, and ends with how many there are', async () => {
    const ids = await Promise.all(Array.from({ length: 600 }, () => held()));
    const lines = await exported();
    const images = lines.filter((line) => line.kind === 'image');
    const isHeld = images.map(({ subjectId }) => subjectId !== undefined);
    expect(isHeld.lastIndexOf(true)).toBeLessThan(isHeld.includes(false) ? isHeld.indexOf(false) : images.length);
    for (const held of [true, false]) {
      const order = images.filter((_, i) => isHeld[i] === held).map(({ imageId }) => imageId);
      expect(order).toEqual(order.toSorted());
    }
    expect(new Set(images.map(({ imageId }) => imageId)).size).toBe(images.length);
    expect(images.map(({ imageId }) => imageId)).toEqual(expect.arrayContaining(ids));
    expect(lines[0]).toMatchObject({ kind: 'image-export', version: 1, modelId: rights.modelId });
    expect(lines.at(-1)).toEqual({ kind: 'end', images: images.length });
  });

  it('is on record as a disclosure before its first line, and shows nothing when it cannot be', async () => {
    const images = exportWith();
    await images.begin(dataProtection);
    const entries = (await readTopic(rights.kafka, AUDIT_ENTRIES)).map(
      ({ value }) => JSON.parse(String(value)) as object,
    );
    expect(entries).toContainEqual(
      expect.objectContaining({
        operation: 'disclosure',
        action: 'images-exported',
        actor: dataProtection.id,
        recipients: [dataProtection.id],
      }),
    );
    await images.write(() => Promise.resolve());
    const broken = new AuditLog({ publishAll: () => Promise.reject(new Failure('KAFKA_UNAVAILABLE', '', true)) }, '/t');
    expect(await codeOfAsync(() => exported(exportWith({ audit: broken })))).toBe('AUDIT_UNAVAILABLE');
  });

  it('is one at a time, and leaves nothing behind when whoever asked has gone', async () => {
    await held();
    const images = exportWith();
    await images.begin(dataProtection);
    expect(await codeOfAsync(() => images.begin(dataProtection))).toBe('EXPORT_RUNNING');
    await expect(images.write(() => Promise.reject(new Error('gone')))).rejects.toThrow('gone');
    expect((await exported(images)).at(-1)).toMatchObject({ kind: 'end' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('is possible again after one whose file could not be made, without a restart', async () => {
    const above = join(folder, 'not-there-yet');
    const images = exportWith({ file: join(above, 'export.sqlite') });
    await expect(exported(images)).rejects.toThrow('unable to open database file');
    await mkdir(above);
    expect((await exported(images)).at(-1)).toMatchObject({ kind: 'end' });
    await rm(above, { recursive: true });
  });
});
