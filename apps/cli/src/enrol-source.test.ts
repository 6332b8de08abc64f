import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { Refusal } from '#domain/errors.js';
import { imagesToEnrol, type ImageToEnrol } from './enrol-source.js';

const homes: string[] = [];
let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'enrol-source-'));
  homes.push(home);
});
afterAll(() => Promise.all(homes.map((each) => rm(each, { recursive: true }))));

async function put(files: Record<string, string>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(home, path)), { recursive: true });
    await writeFile(join(home, path), content);
  }
}

async function all(source: string, common: Parameters<typeof imagesToEnrol>[1] = {}): Promise<ImageToEnrol[]> {
  const images: ImageToEnrol[] = [];
  for await (const image of await imagesToEnrol(source, common)) images.push(image);
  return images;
}

async function refusalOf(source: string): Promise<Refusal> {
  return all(source).then(
    () => expect.unreachable(),
    (error: unknown) => error as Refusal,
  );
}

describe('a folder', () => {
  it('named as Labeled Faces in the Wild is gives subjects and images, in order, and reads them when asked', async () => {
    await put({
      'Zoe_Zed/Zoe_Zed_0002.jpg': 'z2',
      'Zoe_Zed/Zoe_Zed_0001.JPG': 'z1',
      'Ann_Arc/Ann_Arc_0001.png': 'a1',
      'Ann_Arc/notes.txt': 'no',
      'lone.webp': 'l',
      'README.md': 'no',
    });
    const images = await all(home, { face: 'central', force: 'Gwent' });
    expect(images.map(({ image, contentType }) => [image.subjectId, image.imageId, contentType])).toEqual([
      ['Ann_Arc', 'Ann_Arc_0001', 'image/png'],
      ['Zoe_Zed', 'Zoe_Zed_0001', 'image/jpeg'],
      ['Zoe_Zed', 'Zoe_Zed_0002', 'image/jpeg'],
      ['lone', 'lone', 'image/webp'],
    ]);
    expect(images.every(({ image }) => image.face === 'central' && image.force === 'Gwent')).toBe(true);
    expect(String(await images[1]!.read())).toBe('z1');
  });

  it.each([
    ['BAD_IMAGE_ID', 'Ann/front view.jpg'],
    ['BAD_IMAGE_ID', 'Zoë.jpg'],
    ['BAD_SUBJECT_ID', 'Ann Arc/0001.jpg'],
  ])('is refused with %s and the path where a name cannot be an id: %s', async (code, path) => {
    await put({ [path]: 'x' });
    const refusal = await refusalOf(home);
    expect(refusal.code).toBe(code);
    expect(refusal.publicText).toContain(join(home, path));
  });

  it.each([
    ['a/0001.jpg', 'b/0001.jpg'],
    ['a/0001.jpg', 'a/0001.png'],
    ['0001/0001.jpg', '0001.jpg'],
  ])(
    'in which two files would be one image is refused with DUPLICATE_IMAGE_ID and both: %s, %s',
    async (one, other) => {
      await put({ [one]: 'x', [other]: 'y' });
      const refusal = await refusalOf(home);
      expect(refusal.code).toBe('DUPLICATE_IMAGE_ID');
      for (const path of [one, other]) expect(refusal.publicText).toContain(`${join(home, path)} `);
    },
  );

  it('that is empty gives nothing, and one that is not there is refused', async () => {
    expect(await all(home)).toEqual([]);
    expect(await codeOfAsync(() => all(join(home, 'none')))).toBe('SOURCE_NOT_FOUND');
  });
});

describe('a CSV file', () => {
  const csv = (): string => join(home, 'images.csv');

  it('gives every field of the HTTP contract, files beside it, and what is common where the row says nothing', async () => {
    await put({
      'images.csv':
        '\ufeffimageId, subjectId, file, force, custodyReference, capturedAt, sex, ageBand, face\n' +
        'i1, s1, photos/1.jpg, Heddlu ŵ, "A, 1", 2026-02-03, female, 25-34, 2\n' +
        'i2, s2, photos/2.tif, , , , , ,\n',
      'photos/1.jpg': 'one',
      'photos/2.tif': 'two',
    });
    const [first, second] = await all(csv(), { face: 'largest', force: 'Gwent' });
    expect(first).toMatchObject({
      contentType: 'image/jpeg',
      image: {
        imageId: 'i1',
        subjectId: 's1',
        force: 'Heddlu ŵ',
        custodyReference: 'A, 1',
        capturedAt: '2026-02-03',
        sex: 'female',
        ageBand: '25-34',
        face: 2,
      },
    });
    expect(second!.image).toEqual({ imageId: 'i2', subjectId: 's2', force: 'Gwent', face: 'largest' });
    expect(second!.contentType).toBe('image/tiff');
    expect(String(await first!.read())).toBe('one');
    expect(String(await second!.read())).toBe('two');
  });

  const good = 'i1,s1,a.jpg,\n';
  it.each<[string, string, number]>([
    ['an imageId with a space', `${good}i 2,s2,b.jpg,\n`, 3],
    ['no imageId', `${good},s2,b.jpg,\n`, 3],
    ['no file', `${good}i2,s2,,\n`, 3],
    ['no subject', `${good}i2,,b.jpg,\n`, 3],
    ['a bad value', `${good}i2,s2,b.jpg,f\n`, 3],
    ['a bad value behind empty lines', `${good}\n\ni2,s2,b.jpg,f\n`, 5],
    ['a bad value behind a field of two lines', `i1,"s1",a.jpg,\n"i\n2",s2,b.jpg,\n`, 4],
    ['too few columns', `${good}i2,s2\n`, 3],
    ['a quote that is never closed', `${good}i2,"s2,b.jpg,\n`, 3],
  ])('with %s is refused with BAD_ROW and the line to look at', async (_, rows, line) => {
    await put({ 'images.csv': `imageId,subjectId,file,sex\n${rows}` });
    const refusal = await refusalOf(csv());
    expect(refusal).toBeInstanceOf(Refusal);
    expect(refusal.code).toBe('BAD_ROW');
    expect(refusal.publicText).toMatch(new RegExp(`^Line ${line} of images.csv: `));
  });

  it('with two rows of one image is refused with BAD_ROW, both lines and both files', async () => {
    await put({ 'images.csv': 'imageId,subjectId,file\ni1,s1,a.jpg\ni2,s2,b.jpg\ni1,s3,c.jpg\n' });
    const refusal = await refusalOf(csv());
    expect(refusal.code).toBe('BAD_ROW');
    expect(refusal.publicText).toMatch(/^Line 4 of images\.csv: c\.jpg .*\bi1\b.* a\.jpg on line 2\b/);
  });

  it('with a column that is not known is refused rather than read without it', async () => {
    await put({ 'images.csv': 'imageId,subjectId,file,gender\ni1,s1,a.jpg,female\n' });
    const refusal = await refusalOf(csv());
    expect(refusal.code).toBe('BAD_ROW');
    expect(refusal.publicText).toContain('gender');
  });
});
