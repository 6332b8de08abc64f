import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readGroups, readNames, readSubjects } from './evaluate-folder.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'custody-evaluate-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function file(path: string, text = ''): Promise<string> {
  const at = join(folder, path);
  await mkdir(join(at, '..'), { recursive: true });
  await writeFile(at, text);
  return at;
}

describe('the folder', () => {
  it('has people in the order of their names, and the images of each in theirs', async () => {
    for (const path of ['b/2.jpg', 'b/1.png', 'a/x.JPG', 'a/notes.txt', 'empty/readme.md', 'groups.csv'])
      await file(path);
    expect(await readSubjects(folder)).toEqual([
      { subject: 'a', images: [join(folder, 'a/x.JPG')] },
      { subject: 'b', images: [join(folder, 'b/1.png'), join(folder, 'b/2.jpg')] },
    ]);
  });

  it('must be there', async () => {
    await expect(readSubjects(join(folder, 'none'))).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
    await expect(readSubjects(await file('one.jpg'))).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
  });
});

describe('groups', () => {
  it('are read by subject, identity or image, each other column an attribute', async () => {
    const bySubject = await readGroups(await file('a.csv', 'subject,sex,age\np1,F,18-24\np2,M,\n'));
    expect([...bySubject]).toEqual([
      ['p1', { sex: 'F', age: '18-24' }],
      ['p2', { sex: 'M' }],
    ]);
    const byImage = await readGroups(await file('b.csv', 'image,sex\np1/1.jpg,F\np1/2.jpg,F\n'));
    expect([...byImage]).toEqual([['p1', { sex: 'F' }]]);
    const byIdentity = await readGroups(await file('c.csv', 'image,identity,sex\nx/p1/1.jpg,p1,F\n'));
    expect([...byIdentity]).toEqual([['p1', { sex: 'F' }]]);
  });

  it('are refused where one person is in two, with the line', async () => {
    const path = await file('a.csv', 'subject,sex\np1,F\np1,M\n');
    await expect(readGroups(path)).rejects.toMatchObject({
      code: 'BAD_ROW',
      publicText: 'Line 3 of a.csv: one person is both F and M by sex.',
    });
  });

  it('are refused where a row names nobody, or is no row', async () => {
    await expect(readGroups(await file('a.csv', 'sex\nF\n'))).rejects.toMatchObject({ code: 'BAD_ROW' });
    await expect(readGroups(await file('b.csv', 'subject,sex\np1,F,x\n'))).rejects.toMatchObject({ code: 'BAD_ROW' });
    await expect(readGroups(join(folder, 'none.csv'))).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
  });
});

it('names to leave out are one a line', async () => {
  expect([...(await readNames(await file('out.txt', 'p1\n\n p2 \r\n')))]).toEqual(['p1', 'p2']);
});
