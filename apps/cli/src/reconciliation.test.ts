import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { ExportedImage } from '#contracts/image-export.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import type { Refusal } from '#domain/errors.js';
import { Reconciliation, type Reconciled, type ReconciliationOptions } from './reconciliation.js';

const homes: string[] = [];
let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'reconciliation-'));
  homes.push(home);
});
afterAll(() => Promise.all(homes.map((each) => rm(each, { recursive: true }))));

const AT = '2026-03-01T00:00:00.000Z';
const here = (imageId: string, more: Partial<ExportedImage> = {}): ExportedImage => ({
  kind: 'image',
  imageId: imageId as ImageId,
  state: 'enrolled',
  at: AT,
  source: { partition: 1, offset: 7 as Offset },
  ...(more.state === undefined || more.state === 'restricted' ? { subjectId: `of-${imageId}` as SubjectId } : {}),
  ...more,
});

async function reconciled(
  list: string,
  images: readonly ExportedImage[],
  more: Partial<ReconciliationOptions> = {},
): Promise<Reconciled> {
  const file = join(home, 'custody.csv');
  await writeFile(file, list);
  const reconciliation = await Reconciliation.open(file, { out: join(home, 'out'), ...more });
  try {
    for (const image of images) await reconciliation.compare(image);
    return await reconciliation.finish();
  } finally {
    await reconciliation.close();
  }
}

async function refusalOf(list: string): Promise<Refusal> {
  return reconciled(list, []).then(
    () => expect.unreachable(),
    (error: unknown) => error as Refusal,
  );
}

const fileOf = async (name: string): Promise<readonly string[]> =>
  (await readFile(join(home, 'out', `${name}.csv`), 'utf8')).trimEnd().split('\r\n').slice(1);

describe('a reconciliation', () => {
  it('of two equal lists finds nothing, in whatever order they are', async () => {
    const list = 'imageId,subjectId\nc,of-c\na,of-a\nb,of-b\n';
    expect(await reconciled(list, [here('a'), here('b', { state: 'restricted' }), here('c')])).toEqual({
      inCustody: 3,
      here: { enrolled: 2, restricted: 1 },
      alike: 3,
      missingHere: {},
      notInCustody: 0,
      differing: 0,
      notLatest: 0,
      compared: ['subjectId'],
    });
    for (const name of ['missing-here', 'not-in-custody', 'differing', 'not-latest']) {
      expect(await fileOf(name)).toEqual([]);
    }
  });

  it('says of each image that is missing here why: never received, refused, failed or erased', async () => {
    const list = 'imageId,subjectId\nnever,s1\nno-face,s2\nfailed,s3\nerased,s4\nheld,of-held\n';
    const found = await reconciled(list, [
      here('held'),
      here('erased', { state: 'erased' }),
      here('failed', { state: 'failed', code: 'INTERNAL' }),
      here('no-face', { state: 'refused', code: 'NO_FACE' }),
      here('of-nobody', { state: 'refused', code: 'NO_FACE' }),
      here('erased-there-too', { state: 'erased' }),
    ]);
    expect(found).toMatchObject({
      alike: 1,
      notInCustody: 0,
      missingHere: { 'never-received': 1, 'refused NO_FACE': 1, 'failed INTERNAL': 1, erased: 1 },
    });
    expect(await fileOf('missing-here')).toEqual([
      `erased,s4,erased,,${AT}`,
      `failed,s3,failed,INTERNAL,${AT}`,
      `no-face,s2,refused,NO_FACE,${AT}`,
      'never,s1,never-received,,',
    ]);
  });

  it('names what is held here and not in custody, and leaves out other forces when the list is one force’s', async () => {
    const images = [here('a', { force: 'Gwent' }), here('b', { force: 'Dyfed, Powys' }), here('c')];
    expect(await reconciled('imageId\n', images)).toMatchObject({ notInCustody: 3 });
    expect(await fileOf('not-in-custody')).toEqual([
      `a,of-a,Gwent,,enrolled,${AT},1,7`,
      `b,of-b,"Dyfed, Powys",,enrolled,${AT},1,7`,
      `c,of-c,,,enrolled,${AT},1,7`,
    ]);
    expect(await reconciled('imageId\n', images, { force: 'Gwent' })).toMatchObject({ notInCustody: 1 });
  });

  it('compares each field that the list has, and passes over what an export does not say', async () => {
    const list =
      '\ufeffimageId,subjectId,file,force,capturedAt,sex\n' +
      'a,of-a,a.jpg,Gwent,2026-02-03,female\n' +
      'b,of-b,b.jpg,,2026-02-03,\n' +
      'c,of-another,c.jpg,Dyfed,2026-02-03,\n';
    const images = [
      here('a', { force: 'Gwent', capturedAt: '2026-02-03', lawfulBasis: 'PACE s.64A' }),
      here('b', { capturedAt: '2026-02-03' }),
      here('c', { force: 'Gwent', capturedAt: '2026-02-03' }),
    ];
    expect(await reconciled(list, images)).toMatchObject({
      alike: 2,
      differing: 1,
      compared: ['subjectId', 'force', 'capturedAt'],
    });
    expect(await fileOf('differing')).toEqual(['c,subjectId,of-another,of-c', 'c,force,Dyfed,Gwent']);
  });

  it('names what is held from an earlier photograph, because a later one was refused', async () => {
    const later = { state: 'refused', code: 'NO_FACE', at: AT, source: { partition: 1, offset: 9 as Offset } } as const;
    expect(await reconciled('imageId,subjectId\na,of-a\n', [here('a', { later })])).toMatchObject({
      alike: 1,
      notLatest: 1,
    });
    expect(await fileOf('not-latest')).toEqual([`a,refused,NO_FACE,${AT},1,9`]);
  });

  it.each([
    ['an image twice', 'imageId,subjectId\na,s1\nb,s2\na,s3\n', 4],
    ['a line without an imageId', 'imageId,subjectId\na,s1\n,s2\n', 3],
    ['no column of imageIds', 'id,subjectId\na,s1\n', 2],
    ['too few columns', 'imageId,subjectId\na,s1\nb\n', 3],
  ])('refuses a list with %s with BAD_ROW and the line to look at', async (_, list, line) => {
    const refusal = await refusalOf(list);
    expect(refusal.code).toBe('BAD_ROW');
    expect(refusal.publicText).toMatch(new RegExp(`^Line ${line} of custody.csv: `));
  });

  it('refuses a list that is not there, and leaves nothing of the list behind', async () => {
    await expect(Reconciliation.open(join(home, 'none.csv'), { out: join(home, 'out') })).rejects.toMatchObject({
      code: 'SOURCE_NOT_FOUND',
    });
    await reconciled('imageId\na\n', []);
    expect((await readdir(join(home, 'out'))).filter((name) => !name.endsWith('.csv'))).toEqual([]);
  });
});
