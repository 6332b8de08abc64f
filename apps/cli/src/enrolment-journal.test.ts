import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CustodyImage } from '#contracts/custody-image.js';
import { codeOf } from '#domain/codes-for-tests.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import type { RecordAnswer } from './bulk-enrolment.js';
import { EnrolmentJournal, metadataHash, type JournalOptions, type JournalRecord } from './enrolment-journal.js';

const homes: string[] = [];
const open: EnrolmentJournal[] = [];
let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'journal-'));
  homes.push(home);
});
afterEach(() => open.splice(0).forEach((journal) => journal.close()));
afterAll(() => Promise.all(homes.map((each) => rm(each, { recursive: true }))));

function journalOf(more: Partial<JournalOptions> = {}): EnrolmentJournal {
  const options = { dataFolder: home, source: '/photos', clusterId: 'cluster-1', restart: false, ...more };
  const journal = EnrolmentJournal.open(options);
  open.push(journal);
  return journal;
}

/** As a run ends: another one may open the file. */
function again(journal: EnrolmentJournal, more: Partial<JournalOptions> = {}): EnrolmentJournal {
  journal.close();
  open.splice(open.indexOf(journal), 1);
  return journalOf(more);
}

const image = (imageId: string, more: Partial<CustodyImage> = {}): CustodyImage => ({
  imageId: imageId as ImageId,
  subjectId: 'subject-1' as SubjectId,
  ...more,
});
const recordOf = (of: CustodyImage): JournalRecord => ({
  key: of.imageId,
  imageId: of.imageId,
  from: `/photos/${of.imageId}.jpg`,
  metadataSha256: metadataHash(of),
});
const record = (imageId: string): JournalRecord => recordOf(image(imageId));
/** Of a source topic. */
const taken = (partition: number, at: number, imageId = `i-${partition}-${at}`): JournalRecord => ({
  key: `${partition}/${at}`,
  imageId,
  from: `photos/${partition}/${at}`,
  metadataSha256: '',
  source: { partition, offset: at as Offset },
});
const place = (partition: number, offset: number): { partition: number; offset: Offset } => ({
  partition,
  offset: offset as Offset,
});
const answer = (what: Partial<RecordAnswer> = {}): RecordAnswer =>
  ({ imageId: 'of-the-record', outcome: 'enrolled', ...what }) as RecordAnswer;
const isDone = (journal: EnrolmentJournal, ...images: CustodyImage[]): boolean[] =>
  images.map((each) => journal.isDone(each.imageId, metadataHash(each)));

describe('the journal of an enrolment', () => {
  it('knows what earlier runs had answered, and with which refusal', () => {
    let journal = journalOf();
    journal.answered(record('a'), answer(), place(0, 1));
    journal = again(journal);
    journal.answered(record('b'), answer({ outcome: 'refused', code: 'NO_FACE', detail: 'No face.' }), place(0, 2));
    journal = again(journal);
    expect(isDone(journal, image('a'), image('b'), image('c'))).toEqual([true, true, false]);
    expect(journal.counts()).toEqual([
      { outcome: 'enrolled', code: null, records: 1 },
      { outcome: 'refused', code: 'NO_FACE', records: 1 },
    ]);
    expect([...journal.unenrolled()]).toEqual([
      { imageId: 'b', from: '/photos/b.jpg', outcome: 'refused', code: 'NO_FACE', detail: 'No face.' },
    ]);
  });

  it('offers again what failed here, and not what succeeded afterwards', () => {
    let journal = journalOf();
    journal.answered(record('a'), answer({ outcome: 'failed', code: 'INTERNAL' }), place(0, 1));
    journal.answered(record('b'), answer({ outcome: 'failed', code: 'INTERNAL' }), place(0, 2));
    journal = again(journal);
    journal.answered(record('b'), answer(), place(0, 3));
    expect(isDone(again(journal), image('a'), image('b'))).toEqual([false, true]);
  });

  it.each<[string, Partial<CustodyImage>]>([
    ['another face', { face: 'central' }],
    ['another index of a face', { face: 0 }],
    ['a corrected subject', { subjectId: 'subject-2' as SubjectId }],
    ['a force', { force: 'Gwent' }],
    ['a date', { capturedAt: '2026-02-03' }],
  ])('sends again what is asked with %s, and does not then send it a third time', (_, change) => {
    const journal = journalOf();
    journal.answered(record('a'), answer({ outcome: 'refused', code: 'MULTIPLE_FACES' }), place(0, 1));
    journal.answered(record('b'), answer(), place(0, 2));
    expect(isDone(journal, image('a', change), image('b'))).toEqual([false, true]);
    journal.answered(recordOf(image('a', change)), answer(), place(0, 3));
    expect(isDone(journal, image('a', change), image('b'))).toEqual([true, true]);
    expect(journal.counts()).toEqual([{ outcome: 'enrolled', code: null, records: 2 }]);
  });

  it('knows an image again in whatever order its metadata is given', () => {
    const journal = journalOf();
    journal.answered(recordOf(image('a', { force: 'Gwent', sex: 'male' })), answer(), place(0, 1));
    expect(isDone(journal, image('a', { sex: 'male', force: 'Gwent' }))).toEqual([true]);
  });

  it('waits, after a run that was killed, for the outcomes of what that one had sent', () => {
    let journal = journalOf();
    journal.sent(record('a'), place(3, 7));
    journal.storePosition('outcomes', 3, 40 as Offset);
    journal.storePosition('outcomes', 3, 41 as Offset);
    journal = again(journal);
    expect(isDone(journal, image('a'))).toEqual([true]);
    expect(journal.awaited()).toEqual([{ key: 'a', imageId: 'a', partition: 3, offset: 7 }]);
    expect(journal.positions('outcomes')).toEqual(new Map([[3, 41]]));
    journal.awaitedAnswered(journal.awaited()[0]!, answer({ outcome: 'refused', code: 'NO_FACE' }));
    expect(journal.awaited()).toEqual([]);
    expect(journal.counts()).toEqual([{ outcome: 'refused', code: 'NO_FACE', records: 1 }]);
  });

  it('takes no outcome of what was sent before for that of what was sent since with other metadata', () => {
    const journal = journalOf();
    journal.sent(record('a'), place(3, 7));
    const [before] = journal.awaited();
    journal.sent(recordOf(image('a', { face: 'central' })), place(3, 8));
    journal.awaitedAnswered(before!, answer({ outcome: 'refused', code: 'MULTIPLE_FACES' }));
    expect(journal.awaited()).toMatchObject([{ key: 'a', offset: 8 }]);
  });

  it('offers again what the log has lost before its outcome was seen', () => {
    const journal = journalOf();
    journal.sent(record('a'), place(3, 7));
    journal.lost(journal.awaited()[0]!);
    expect(isDone(journal, image('a'))).toEqual([false]);
  });

  it('leaves out of its counts what has left the source, and knows it again when it is back', () => {
    let journal = journalOf();
    journal.answered(record('a'), answer(), place(0, 1));
    journal.answered(record('b'), answer(), place(0, 2));
    journal = again(journal);
    journal.beginPass();
    expect(journal.seen('b', record('b').metadataSha256)).toBe(true);
    journal.endPass();
    expect(journal.counts()).toMatchObject([{ outcome: 'enrolled', records: 1 }]);
    journal = again(journal);
    journal.beginPass();
    for (const id of ['a', 'b']) expect(journal.seen(id, record(id).metadataSha256)).toBe(true);
    journal.endPass();
    expect(journal.counts()).toMatchObject([{ outcome: 'enrolled', records: 2 }]);
  });

  it('keeps the journals of two sources apart', () => {
    const journal = journalOf();
    journal.answered(record('a'), answer(), place(0, 1));
    expect(isDone(journalOf({ source: '/other' }), image('a'))).toEqual([false]);
  });

  it.each<[string, Partial<JournalOptions>]>([
    ['it is started anew', { restart: true }],
    ['the images go to another Kafka cluster', { clusterId: 'cluster-2' }],
  ])('forgets what was when %s', (_, more) => {
    let journal = journalOf();
    journal.answered(record('a'), answer(), place(0, 1));
    journal.sent(record('b'), place(0, 2));
    journal.storePosition('outcomes', 0, 9 as Offset);
    journal = again(journal, more);
    expect(isDone(journal, image('a'), image('b'))).toEqual([false, false]);
    expect(journal.awaited()).toEqual([]);
    expect(journal.positions('outcomes')).toEqual(new Map());
    expect(isDone(again(journal, { ...more, restart: false }), image('a'))).toEqual([false]);
  });

  it('is one run’s at a time', () => {
    const journal = journalOf();
    expect(codeOf(() => journalOf())).toBe('ENROLMENT_RUNNING');
    again(journal);
  });
});

describe('the journal of a source topic', () => {
  it('knows from where to read again what failed, and what needs not be sent a second time', () => {
    const journal = journalOf();
    journal.answered(taken(0, 4), answer(), place(0, 1));
    journal.answered(taken(0, 5), answer({ outcome: 'failed', code: 'INTERNAL' }), place(0, 2));
    journal.answered(taken(0, 6), answer({ outcome: 'failed', code: 'INTERNAL' }), place(0, 3));
    journal.answered(taken(0, 7), answer({ outcome: 'refused', code: 'NO_FACE' }), place(0, 4));
    journal.sent(taken(1, 2), place(5, 9));
    expect(journal.firstFailed()).toEqual(new Map([[0, 5]]));
    expect(journal.countDone()).toBe(3);
    expect(
      journal.countDoneFrom(
        new Map([
          [0, 5 as Offset],
          [1, 0 as Offset],
        ]),
      ),
    ).toBe(2);
  });

  it('knows when another partition has a record of the same image', () => {
    const journal = journalOf();
    journal.sent(taken(2, 4, 'a'), place(0, 1));
    expect(journal.otherPartitionOf('a', 2)).toBeUndefined();
    expect(journal.otherPartitionOf('b', 3)).toBeUndefined();
    expect(journal.otherPartitionOf('a', 3)).toBe(2);
  });
});
