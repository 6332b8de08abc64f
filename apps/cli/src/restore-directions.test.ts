import { describe, expect, it } from 'vitest';
import { directionEnd, directionRecord, parseDirection } from '#contracts/direction-record.js';
import {
  erasureDestructionId,
  erasureReceiptId,
  openSearchId,
  type Direction,
  type Erasure,
  type ErasureDestruction,
  type OpenSearch,
} from '#domain/direction.js';
import { IMAGES_LOG, REGISTER, templatesLog } from '#domain/erasure-destruction.js';
import type { ImageId, ModelId, Offset, SearchId } from '#domain/ids.js';
import type { BackedUpRecord } from './backup-contents.js';
import { RestoredDirections } from './restore-directions.js';

const at = (n: number): Offset => n as Offset;
const place = (n: number): { partition: number; offset: Offset } => ({ partition: 3, offset: at(n) });
const id = 'img-1' as ImageId;
const other = 'img-2' as ImageId;
const base = {
  target: { imageIds: [id, other] },
  authority: 'a',
  reason: 'r',
  by: 'dpo',
  role: 'data-protection',
  at: '2026-01-01T00:00:00.000Z',
} as const;
/** The backup has `custody.images` up to here, and the events of this search. */
const END = 100;
const known = 'known' as SearchId;

function logged({
  key,
  value,
  headers,
}: Pick<ReturnType<typeof directionRecord>, 'key' | 'value' | 'headers'>): BackedUpRecord {
  return { key: Buffer.from(key), value, headers, timestampMs: 0, partition: 0, offset: at(0) };
}
const given = (direction: Direction): BackedUpRecord => logged(directionRecord(direction, '/test'));

function restored(...records: readonly BackedUpRecord[]): {
  readonly last: Direction | null;
  readonly same: boolean;
  readonly holdsEnded: number;
} {
  const directions = new RestoredDirections(
    '/restore',
    (search) => search === known,
    ({ offset }) => offset < END,
  );
  for (const record of records) directions.read(record);
  const all = records.map((record) => directions.restorable(record));
  const { value } = all.at(-1)!;
  return {
    last: value === null ? null : parseDirection(value),
    same: all.at(-1) === records.at(-1),
    holdsEnded: directions.holdsEnded,
  };
}

describe('an erasure that was not destroyed everywhere when the decisions were copied', () => {
  const pending: ErasureDestruction = {
    ...base,
    kind: 'erasure-destruction',
    directionId: erasureDestructionId(id, at(90)),
    through: at(90),
    erasedAt: base.at,
    stores: [
      { store: templatesLog('0123456789abcdef' as ModelId), at: null, marker: at(1_000) },
      { store: IMAGES_LOG, at: base.at, marker: at(91) },
      { store: REGISTER, at: base.at },
    ],
  };

  it('begins anew with every store, because its markers are places on logs that are no more', () => {
    expect(restored(given(pending)).last).toEqual({ ...pending, stores: [] });
  });

  it('stays as it is when it was', () => {
    expect(restored(given({ ...pending, completedAt: base.at })).same).toBe(true);
  });
});

describe('an erasure that was decided here', () => {
  const erasure = (...offsets: readonly number[]): Erasure => ({
    ...base,
    kind: 'erasure',
    directionId: 'erasure-1',
    state: 'decided',
    images: [id, other].map((imageId, i) => ({ imageId, outcome: 'erase', source: place(offsets[i]!) })),
  });
  const receipt = (imageId: ImageId): BackedUpRecord =>
    given({
      ...base,
      kind: 'erasure-receipt',
      directionId: erasureReceiptId('erasure-1', imageId),
      erasureId: 'erasure-1',
      source: place(END),
      disposition: place(1),
      tombstone: place(1),
      imageStoreEmptiedAt: base.at,
    });

  it('is carried out again when one of its nulls was not handled and does not come back', () => {
    const { images: _images, ...toBeDone } = erasure();
    expect(restored(receipt(id), given(erasure(END, END + 1))).last).toEqual(toBeDone);
    expect(restored(given(erasure(END - 1, END))).last).toEqual(toBeDone);
  });

  it('is not when ingest has handled them, or will with what is restored', () => {
    // The receipts are behind the erasure on the log.
    const directions = new RestoredDirections(
      '/restore',
      () => true,
      () => false,
    );
    for (const record of [given(erasure(END, END)), receipt(id), receipt(other)]) directions.read(record);
    const record = given(erasure(END, END));
    expect(directions.restorable(record)).toBe(record);
    expect(restored(given(erasure(END - 1, END - 2))).same).toBe(true);
  });

  it('is not when its images were restricted instead, or it waits for a second person', () => {
    const instead = { imageId: id, outcome: 'restricted-instead' as const, heldBy: [], restrictionId: 'x' };
    expect(restored(given({ ...erasure(0, 0), images: [instead] })).same).toBe(true);
    const { images: _images, ...waiting } = erasure(0, 0);
    expect(restored(given({ ...waiting, state: 'awaiting-approval' })).same).toBe(true);
  });
});

describe('the hold of an open search', () => {
  const hold = (search: SearchId): OpenSearch => ({ ...base, kind: 'open-search', directionId: openSearchId(search) });

  it('ends when the search is lost, because nobody could close it', () => {
    const { last, holdsEnded } = restored(given(hold('lost' as SearchId)));
    expect([last, holdsEnded]).toEqual([null, 1]);
    expect(restored(given(hold(known)))).toMatchObject({ same: true, holdsEnded: 0 });
  });

  it('is not counted when it had ended already', () => {
    const lost = hold('lost' as SearchId);
    const end = logged(directionEnd(lost.directionId, '/test'));
    expect(restored(given(lost), end)).toMatchObject({ same: true, holdsEnded: 0 });
  });
});

it('leaves what it cannot read, and whatever else is directed, as it is', () => {
  expect(restored(given({ ...base, kind: 'evidence-hold', directionId: 'h' })).same).toBe(true);
  const unreadable = { ...given({ ...base, kind: 'retirement', directionId: 'r' }), value: Buffer.from('{') };
  const directions = new RestoredDirections(
    '/restore',
    () => false,
    () => false,
  );
  directions.read(unreadable);
  expect(directions.restorable(unreadable)).toBe(unreadable);
});
