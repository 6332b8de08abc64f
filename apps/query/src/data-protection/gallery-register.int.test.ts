import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { partitionFor } from '#contracts/murmur2.js';
import { encodeTemplate, templateHeaders, templateTombstoneHeaders } from '#contracts/template-record.js';
import { desiredTopics, galleryTemplates } from '#contracts/topics.js';
import { codeOf } from '#domain/codes-for-tests.js';
import type { Disposition } from '#domain/disposition.js';
import { TEMPLATE_PARTITIONS, type TemplateKeeping, type TemplateMetadata } from '#domain/gallery.js';
import type { HeldImage } from '#domain/held-image.js';
import type { ImageId, ModelId, Offset, SubjectId } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Log } from '#platform/log.js';
import { clientForTests, eventually } from '#testkit/kafka-test-helpers.js';
import { GalleryRegister, type RegisterChange, type RegisterOptions } from './gallery-register.js';

let kafka: KafkaClient;
let publisher: Publisher;
let home: string;
let file: string;
/** A gallery of one's own for each test. */
let modelId: ModelId;
const dispositions = new Map<string, Disposition>();
const open: GalleryRegister[] = [];
const warnings: string[] = [];
const fatal: unknown[] = [];
const log: Log = { debug() {}, info() {}, error() {}, warn: (event) => void warnings.push(event) };

beforeAll(async () => {
  kafka = clientForTests();
  publisher = kafka.publisher();
  home = await mkdtemp(join(tmpdir(), 'register-'));
});
afterAll(async () => {
  await kafka.close();
  await rm(home, { recursive: true });
});
beforeEach(async () => {
  modelId = randomBytes(8).toString('hex') as ModelId;
  file = join(home, modelId, 'register.sqlite');
  dispositions.clear();
  warnings.length = 0;
  const topics = desiredTopics({ modelId, profile: 'local', replication: 1 });
  await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => name === galleryTemplates(modelId)));
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((register) => register.close()));
  expect(fatal).toEqual([]);
});

async function openRegister(more: Partial<RegisterOptions> = {}): Promise<GalleryRegister> {
  const register = await GalleryRegister.open({
    kafka,
    file,
    modelId,
    after: Promise.resolve(),
    dispositionOf: (id) => dispositions.get(id),
    reviewOn: ({ reviewDue }) => reviewDue,
    log,
    onFatal: (error) => void fatal.push(error),
    ...more,
  });
  open.push(register);
  await register.caughtUp();
  return register;
}

async function close(register: GalleryRegister): Promise<void> {
  open.splice(open.indexOf(register), 1);
  await register.close();
}

const newImage = (): ImageId => `img-${randomUUID()}` as ImageId;
const newSubject = (): SubjectId => `subject-${randomUUID()}` as SubjectId;

async function enrol(
  imageId: ImageId,
  subjectId: SubjectId,
  sourceOffset: number,
  more: { readonly metadata?: Partial<TemplateMetadata>; readonly keeping?: TemplateKeeping } = {},
): Promise<void> {
  await publisher.publish({
    topic: galleryTemplates(modelId),
    key: imageId,
    value: encodeTemplate(Float32Array.of(1, 0)),
    headers: templateHeaders(
      {
        modelId,
        metadata: { imageId, subjectId, ...more.metadata },
        source: { sourceOffset: sourceOffset as Offset, acceptedAtMs: Date.UTC(2026, 1, 3) },
        ...(more.keeping !== undefined && { keeping: more.keeping }),
      },
      '/test',
    ),
  });
}

async function bury(imageId: ImageId, supersedes?: number): Promise<void> {
  const headers = templateTombstoneHeaders(imageId, '/test', supersedes as Offset | undefined);
  await publisher.publish({ topic: galleryTemplates(modelId), key: imageId, value: null, headers });
}

function dispose(imageId: ImageId, kind: Disposition['kind'], sourceOffset: number): void {
  const since = '2026-03-01T00:00:00.000Z';
  dispositions.set(imageId, {
    imageId,
    kind,
    since,
    authority: 'a',
    reason: 'r',
    sourceOffset: sourceOffset as Offset,
  });
}

/** Once the register has read everything that was published before in the partition of this image. */
async function settled(register: GalleryRegister, imageId: ImageId): Promise<void> {
  let mark: ImageId;
  do mark = newImage();
  while (partitionOf(mark) !== partitionOf(imageId));
  await enrol(mark, 'mark' as SubjectId, 1);
  await eventually(() => expect(register.image(mark)).toBeDefined());
}

const partitionOf = (id: ImageId): number => partitionFor(Buffer.from(id), TEMPLATE_PARTITIONS);

describe('the register of images held', () => {
  it('knows of each image whose it is, why it is held, and when that is to be reviewed', async () => {
    const register = await openRegister();
    const [id, subjectId] = [newImage(), newSubject()];
    const metadata = {
      force: 'Gwent ŵ',
      custodyReference: 'GW/1',
      capturedAt: '2026-02-03',
      sex: 'female',
      ageBand: '10-17',
      faceBox: { left: 1, top: 2, right: 3, bottom: 4 },
      embeddingNorm: 3,
    } as const;
    const keeping = { lawfulBasis: 'PACE s.64A', reviewDue: '2029-02-03', face: 1 };
    await enrol(id, subjectId, 7, { metadata, keeping });
    await eventually(() => expect(register.image(id)).toBeDefined());
    const { embeddingNorm: _embeddingNorm, ...shown } = metadata;
    const held: HeldImage = {
      imageId: id,
      subjectId,
      ...shown,
      ...keeping,
      sourceOffset: 7 as Offset,
      acceptedAt: '2026-02-03T00:00:00.000Z',
    };
    expect(register.image(id)).toEqual(held);
    expect(register.imagesOf(subjectId)).toEqual([held]);
    expect(register.imagesWith({ custodyReference: 'GW/1' })).toEqual([held]);
    expect(register.imagesOf(newSubject())).toEqual([]);
  });

  it('follows a correction to another person, and keeps the later source whatever comes last', async () => {
    const register = await openRegister();
    const [id, wrong, right] = [newImage(), newSubject(), newSubject()];
    await enrol(id, wrong, 1);
    await enrol(id, right, 5);
    await enrol(id, wrong, 3);
    await settled(register, id);
    expect(register.imagesOf(wrong)).toEqual([]);
    expect(register.imagesOf(right)).toMatchObject([{ imageId: id, sourceOffset: 5 }]);
  });

  it('no longer holds what a tombstone removed or an erasure covers, and holds what was enrolled again after it', async () => {
    const register = await openRegister();
    const subjectId = newSubject();
    const [buried, erased, again, restricted] = [newImage(), newImage(), newImage(), newImage()];
    for (const id of [buried, erased, again, restricted]) await enrol(id, subjectId, 5);
    await eventually(() => expect(register.imagesOf(subjectId)).toHaveLength(4));
    dispose(erased, 'erased', 5);
    dispose(again, 'erased', 5);
    dispose(restricted, 'restricted', 5);
    expect(register.image(erased)).toBeUndefined();
    // Late ones: a tombstone without an erasure of a restricted image, a template that the erasure covers.
    await bury(buried);
    await bury(restricted);
    await enrol(erased, subjectId, 4);
    await enrol(again, subjectId, 6);
    for (const id of [buried, erased, again, restricted]) await settled(register, id);
    expect(register.imagesOf(subjectId).map(({ imageId }) => imageId)).toEqual([again, restricted].sort());
  });

  it('no longer holds a photograph of which a later one has no template, whatever is decided of the image', async () => {
    const register = await openRegister();
    const subjectId = newSubject();
    const [again, restricted, later] = [newImage(), newImage(), newImage()];
    dispose(again, 'erased', 2);
    dispose(restricted, 'restricted', 5);
    for (const id of [again, restricted]) await enrol(id, subjectId, 5);
    await enrol(later, subjectId, 10);
    for (const id of [again, restricted, later]) await bury(id, 9);
    for (const id of [again, restricted, later]) await settled(register, id);
    expect(register.imagesOf(subjectId).map(({ imageId }) => imageId)).toEqual([later]);
  });

  it('leaves nothing of an image that is no longer held in its files', async () => {
    const register = await openRegister();
    const [id, subjectId] = [newImage(), newSubject()];
    const bytesKept = async (): Promise<boolean> => {
      const files = await Promise.all([file, `${file}-wal`].map((name) => readFile(name)));
      return files.some((bytes) => bytes.includes(subjectId));
    };
    await enrol(id, subjectId, 1);
    await eventually(() => expect(register.image(id)).toBeDefined());
    expect(await bytesKept()).toBe(true);
    await bury(id);
    await eventually(() => expect(register.image(id)).toBeUndefined());
    expect(await bytesKept()).toBe(false);
  });

  it('keeps the reasons when the index writes a template again without them', async () => {
    const register = await openRegister();
    const [id, subjectId] = [newImage(), newSubject()];
    await enrol(id, subjectId, 5, { keeping: { lawfulBasis: 'PACE s.64A', face: 0 } });
    await enrol(id, subjectId, 5);
    await settled(register, id);
    expect(register.image(id)).toMatchObject({ lawfulBasis: 'PACE s.64A', face: 0 });
  });

  it('passes over what is no template of this model', async () => {
    const register = await openRegister();
    const id = newImage();
    await publisher.publish({ topic: galleryTemplates(modelId), key: id, value: Buffer.alloc(8), headers: {} });
    await settled(register, id);
    expect(register.image(id)).toBeUndefined();
    expect(warnings).toEqual(['register-record-unusable']);
  });

  it('tells of each change once it is in the register', async () => {
    const register = await openRegister();
    const [id, subjectId] = [newImage(), newSubject()];
    const changes: (RegisterChange & { readonly inRegister: boolean })[] = [];
    register.onChange((some) => {
      for (const change of some) {
        if (change.imageId === id)
          changes.push({ ...change, inRegister: (register.image(id) === undefined) === (change.image === undefined) });
      }
    });
    await enrol(id, subjectId, 1);
    // Two changes that are read at once are told of at once, when the later one is what the register shows.
    await eventually(() => expect(changes).toHaveLength(1));
    await bury(id);
    await settled(register, id);
    expect(changes).toMatchObject([
      { image: { subjectId }, inRegister: true },
      { image: undefined, inRegister: true },
    ]);
  });
});

describe('the file of the register', () => {
  it('is read on after a restart, and built again when it was deleted, with equal contents', async () => {
    const first = await openRegister();
    const subjectId = newSubject();
    const ids = Array.from({ length: 30 }, newImage);
    for (const [i, id] of ids.entries()) await enrol(id, subjectId, i, { keeping: { reviewDue: '2029-01-01' } });
    for (const id of ids.slice(0, 5)) await bury(id);
    await eventually(() => expect(first.imagesOf(subjectId)).toHaveLength(25));
    const before = first.imagesOf(subjectId);
    await close(first);
    const changes: RegisterChange[] = [];
    const second = await openRegister();
    second.onChange((some) => changes.push(...some));
    expect(second.imagesOf(subjectId)).toEqual(before);
    expect(changes).toEqual([]);
    await close(second);
    await rm(file);
    expect((await openRegister()).imagesOf(subjectId)).toEqual(before);
  });

  it('of another model’s gallery is not used', async () => {
    const first = await openRegister();
    const [id, subjectId] = [newImage(), newSubject()];
    await enrol(id, subjectId, 1);
    await eventually(() => expect(first.image(id)).toBeDefined());
    await close(first);
    modelId = randomBytes(8).toString('hex') as ModelId;
    const topics = desiredTopics({ modelId, profile: 'local', replication: 1 });
    await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => name === galleryTemplates(modelId)));
    expect((await openRegister()).image(id)).toBeUndefined();
  });
});

describe('the list of reviews that are due', () => {
  it('is in order of the day, then of the image, whole over pages of any size', async () => {
    const register = await openRegister();
    const subjectId = newSubject();
    const days = ['2026-01-01', '2026-01-01', '2026-05-01', '2027-01-01', '2028-01-01'];
    const ids = days.map(newImage);
    for (const [i, reviewDue] of days.entries()) await enrol(ids[i]!, subjectId, i, { keeping: { reviewDue } });
    await enrol(newImage(), subjectId, 9);
    await eventually(() => expect(register.imagesOf(subjectId)).toHaveLength(6));
    const expected = [...ids.slice(0, 2).sort(), ids[2], ids[3]];
    for (const limit of [1, 2, 3, 4, 500]) {
      const found: string[] = [];
      let cursor: string | undefined;
      do {
        const page = register.reviewsDue('2028-01-01', cursor, limit);
        expect(page.due.length).toBeLessThanOrEqual(limit);
        found.push(...page.due.map(({ image }) => image.imageId));
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
      expect(found).toEqual(expected);
    }
    expect(register.countReviewsDue('2028-01-01')).toBe(4);
    expect(register.countReviewsDue('2028-01-02')).toBe(5);
  });

  it('refuses a limit or cursor that is none', async () => {
    const register = await openRegister();
    for (const limit of [0, 501, 1.5]) {
      expect(codeOf(() => register.reviewsDue('2026-01-01', undefined, limit))).toBe('BAD_LIMIT');
    }
    expect(codeOf(() => register.reviewsDue('2026-01-01', 'x', 5))).toBe('BAD_CURSOR');
  });

  it('changes for one person, one stay in custody, one image or all when the rules say another day', async () => {
    let day = '2026-01-01';
    const register = await openRegister({ reviewOn: () => day });
    const [one, two] = [newSubject(), newSubject()];
    const ids = [newImage(), newImage(), newImage()] as const;
    await enrol(ids[0], one, 1);
    await enrol(ids[1], one, 2, { metadata: { custodyReference: 'GW/7' } });
    await enrol(ids[2], two, 3, { metadata: { custodyReference: 'GW/7' } });
    await eventually(() => expect(register.countReviewsDue('2026-02-01')).toBe(3));
    day = '2030-01-01';
    register.reviewAgain({ subjectId: one });
    expect(register.countReviewsDue('2026-02-01')).toBe(1);
    day = '2026-01-01';
    register.reviewAgain({ custodyReference: 'GW/7' });
    expect(register.countReviewsDue('2026-02-01')).toBe(2);
    register.reviewAgain({ imageId: ids[0] });
    expect(register.countReviewsDue('2026-02-01')).toBe(3);
    day = '2031-01-01';
    await register.reviewAllAgain(new AbortController().signal);
    expect(register.countReviewsDue('2031-01-01')).toBe(0);
    expect(register.countReviewsDue('2031-01-02')).toBe(3);
  });
});
