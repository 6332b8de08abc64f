import { mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { offset } from '#domain/ids.js';
import { openDisposable, positionsIn, storePosition } from './disposable-database.js';

const LAYOUT = { version: 1, schema: '', origin: 'cluster' };
const DAY_MS = 86_400_000;

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'disposable-'));
  file = join(folder, 'view.sqlite');
});
afterEach(() => rmSync(folder, { recursive: true }));

function written(): void {
  const db = openDisposable(file, LAYOUT);
  storePosition(db, 3, offset(17));
  db.close();
}

/** What a process knows that opens the file so many days after it was last written. */
function knownAfter(days: number, layout = LAYOUT): [number, number][] {
  const db = openDisposable(file, layout, Date.now() + days * DAY_MS);
  const positions = [...positionsIn(db)];
  db.close();
  return positions;
}

it('is what it was after a few days', () => {
  written();
  expect(knownAfter(0)).toEqual([[3, 17]]);
  expect(knownAfter(5.9)).toEqual([[3, 17]]);
});

it('is built again when it was left alone until the log may have dropped the nulls that it has not read', () => {
  written();
  expect(knownAfter(6.1)).toEqual([]);
});

it('is judged by its last writing, which may be in the log of its writes alone', () => {
  const db = openDisposable(file, LAYOUT);
  storePosition(db, 3, offset(17));
  const longAgo = new Date(Date.now() - 30 * DAY_MS);
  utimesSync(file, longAgo, longAgo);
  // As a process that was killed leaves it: nobody has closed the database.
  expect(knownAfter(0)).toEqual([[3, 17]]);
  db.close();
});

it.each([
  ['version', { ...LAYOUT, version: 2 }],
  ['origin', { ...LAYOUT, origin: 'another cluster' }],
])('is built again when its %s differs', (_, layout) => {
  written();
  expect(knownAfter(0, layout)).toEqual([]);
});
