import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { CustodyImage } from '#contracts/custody-image.js';
import type { ImageId, SubjectId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { EnrolmentJournal } from './enrolment-journal.js';

const homes: string[] = [];
let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'journal-'));
  homes.push(home);
});
afterAll(() => Promise.all(homes.map((each) => rm(each, { recursive: true }))));

const image = (imageId: string, more: Partial<CustodyImage> = {}): CustodyImage => ({
  imageId: imageId as ImageId,
  subjectId: 'subject-1' as SubjectId,
  ...more,
});
const outcome = (imageId: string, what: Partial<ImageOutcome> = { outcome: 'enrolled' }): ImageOutcome =>
  ({ imageId, ...what }) as ImageOutcome;

/** One run: asks what of the images of these outcomes is to be sent, and records the outcomes. */
async function write(outcomes: readonly ImageOutcome[], source = '/photos', restart = false): Promise<void> {
  const journal = await EnrolmentJournal.open(home, source, restart);
  journal.compare(outcomes.map(({ imageId }) => ({ image: image(imageId) })));
  for (const each of outcomes) journal.record(each);
  await journal.close();
}

async function compare(
  images: readonly CustodyImage[],
  source = '/photos',
): Promise<{ todo: readonly string[]; answered: readonly unknown[] }> {
  const journal = await EnrolmentJournal.open(home, source, false);
  await journal.close();
  const { todo, answered } = journal.compare(images.map((each) => ({ image: each })));
  return {
    todo: todo.map((item) => item.image.imageId),
    answered: answered.map(({ metadataSha256: _hash, ...line }) => line),
  };
}

const answered = async (source?: string): Promise<readonly unknown[]> =>
  (
    await compare(
      ['a', 'b'].map((id) => image(id)),
      source,
    )
  ).answered;

async function fileOf(): Promise<string> {
  const [name] = await readdir(join(home, 'enrolments'));
  return join(home, 'enrolments', name!);
}

describe('the journal of an enrolment', () => {
  it('knows what earlier runs had answered, and with which refusal', async () => {
    await write([outcome('a')]);
    await write([outcome('b', { outcome: 'refused', code: 'NO_FACE' })]);
    expect(await answered()).toEqual([
      { imageId: 'a', outcome: 'enrolled' },
      { imageId: 'b', outcome: 'refused', code: 'NO_FACE' },
    ]);
  });

  it('offers again what failed here, and not what succeeded afterwards', async () => {
    await write([
      outcome('a', { outcome: 'failed', code: 'INTERNAL' }),
      outcome('b', { outcome: 'failed', code: 'X' }),
    ]);
    await write([outcome('b')]);
    expect(await answered()).toEqual([{ imageId: 'b', outcome: 'enrolled' }]);
  });

  it.each<[string, Partial<CustodyImage>]>([
    ['another face', { face: 'central' }],
    ['another index of a face', { face: 0 }],
    ['a corrected subject', { subjectId: 'subject-2' as SubjectId }],
    ['a force', { force: 'Gwent' }],
    ['a date', { capturedAt: '2026-02-03' }],
  ])('sends again what is asked with %s, and does not then send it a third time', async (_, change) => {
    await write([outcome('a', { outcome: 'refused', code: 'MULTIPLE_FACES' }), outcome('b')]);
    const changed = [image('a', change), image('b')];
    expect((await compare(changed)).todo).toEqual(['a']);
    const journal = await EnrolmentJournal.open(home, '/photos', false);
    journal.compare(changed.map((each) => ({ image: each })));
    journal.record(outcome('a'));
    await journal.close();
    expect((await compare(changed)).todo).toEqual([]);
    expect((await compare(changed)).answered).toEqual([
      { imageId: 'a', outcome: 'enrolled' },
      { imageId: 'b', outcome: 'enrolled' },
    ]);
  });

  it('knows an image again in whatever order its metadata is given', async () => {
    const journal = await EnrolmentJournal.open(home, '/photos', false);
    journal.compare([{ image: image('a', { force: 'Gwent', sex: 'male' }) }]);
    journal.record(outcome('a'));
    await journal.close();
    expect((await compare([image('a', { sex: 'male', force: 'Gwent' })])).todo).toEqual([]);
  });

  it('sends again what an earlier version has noted without its metadata', async () => {
    await write([]);
    await appendFile(await fileOf(), '{"imageId":"a","outcome":"enrolled"}\n');
    expect((await compare([image('a')])).todo).toEqual(['a']);
  });

  it('keeps the journals of two sources apart, however their paths are written', async () => {
    await write([outcome('a')], '/photos/');
    expect(await answered('/photos')).toHaveLength(1);
    expect(await answered('/other')).toEqual([]);
  });

  it('forgets what was when it is started anew', async () => {
    await write([outcome('a')]);
    await write([outcome('b')], '/photos', true);
    expect(await answered()).toEqual([{ imageId: 'b', outcome: 'enrolled' }]);
  });

  it('loses the line that a crash tore, and neither the ones before it nor the one after', async () => {
    await write([outcome('a')]);
    const whole = await readFile(await fileOf(), 'utf8');
    await appendFile(await fileOf(), whole.slice(0, -7));
    await write([outcome('b')]);
    expect(await answered()).toEqual([
      { imageId: 'a', outcome: 'enrolled' },
      { imageId: 'b', outcome: 'enrolled' },
    ]);
  });
});
