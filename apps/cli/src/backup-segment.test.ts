import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { readSegment, SegmentWriter, type Frame, type WrittenSegment } from './backup-segment.js';

const key = randomBytes(32);
let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'segment-'));
  path = join(folder, '000001.sealed');
});
afterEach(() => rm(folder, { recursive: true }));

async function written(frames: readonly Frame[]): Promise<WrittenSegment> {
  const writer = await SegmentWriter.create(path, key);
  for (const frame of frames) await writer.write(frame);
  return writer.close();
}

async function read(segment: WrittenSegment, from = path, withKey = key): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const { head, body } of readSegment(from, withKey, segment))
    frames.push({ head, body: Buffer.from(body) });
  return frames;
}

describe('a segment of a backup', () => {
  it.each([
    ['nothing', []],
    ['an empty body', [0]],
    ['bodies of every size around a piece', [1, 2 ** 20 - 60, 2 ** 20, 2 ** 20 + 1, 3 * 2 ** 20 + 17, 0, 5]],
  ])('gives back %s', async (_what, sizes) => {
    const frames = sizes.map((size, i) => ({ head: { i, text: 'ß' }, body: randomBytes(size) }));
    const segment = await written(frames);
    const back = await read(segment);
    expect(back.map(({ head }) => head)).toEqual(frames.map(({ head }) => head));
    expect(back.map(({ body }, i) => body.equals(frames[i]!.body))).toEqual(frames.map(() => true));
    expect((await readFile(path)).length).toBe(segment.bytes);
  });

  it('shows nothing of what is in it, and is never the same file twice', async () => {
    const frames = [{ head: { subject: 'a person of interest' }, body: Buffer.from('a template of somebody') }];
    await written(frames);
    const first = await readFile(path);
    await written(frames);
    const second = await readFile(path);
    for (const file of [first, second]) {
      expect(file.includes('a person of interest')).toBe(false);
      expect(file.includes('a template of somebody')).toBe(false);
    }
    expect(second.subarray(4).equals(first.subarray(4))).toBe(false);
  });

  it('is refused with BACKUP_DAMAGED when any byte was changed, wherever it was cut, or when it is another’s', async () => {
    const segment = await written([{ head: {}, body: Buffer.from('some bytes') }]);
    const good = await readFile(path);
    for (let i = 0; i < good.length; i++) {
      const changed = Buffer.from(good);
      changed[i]! ^= 1;
      await writeFile(path, changed);
      expect(await codeOfAsync(() => read(segment)), `byte ${i}`).toBe('BACKUP_DAMAGED');
      await writeFile(path, good.subarray(0, i));
      expect(await codeOfAsync(() => read(segment)), `length ${i}`).toBe('BACKUP_DAMAGED');
    }
    await writeFile(path, good);
    expect(await codeOfAsync(() => read(segment, path, randomBytes(32)))).toBe('BACKUP_DAMAGED');
    const other = join(folder, '000002.sealed');
    await rename(path, other);
    expect(await codeOfAsync(() => read(segment, other))).toBe('BACKUP_DAMAGED');
    expect(await codeOfAsync(() => read(segment, path))).toBe('BACKUP_DAMAGED');
  });
});
