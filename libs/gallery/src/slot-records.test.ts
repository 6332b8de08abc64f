import { expect, it } from 'vitest';
import { SlotRecords } from './slot-records.js';
import { seededRandom } from './vectors-for-tests.js';

const SEED = Number(process.env['GALLERY_SEED'] ?? Date.now() % 1e9);
const SLOTS = 9000;

function textOf(records: SlotRecords, slot: number): string {
  return records.bufferOf(slot).toString('latin1', records.start(slot), records.end(slot));
}

it(`has each slot's last record, after any operations and after being read back (seed ${SEED})`, () => {
  const random = seededRandom(SEED);
  const records = new SlotRecords();
  const plain = new Map<number, string>();
  for (let step = 0; step < 30_000; step++) {
    const slot = Math.floor(random() * SLOTS);
    if (random() < 0.3) {
      records.clear(slot);
      plain.delete(slot);
      continue;
    }
    const record = `${slot}:`.padEnd(Math.floor(random() * 60), 'x');
    records.set(slot, Buffer.from(record));
    plain.set(slot, record);
  }
  const restored = new SlotRecords();
  const written = records.sections(SLOTS);
  for (const section of restored.sectionsToFill(SLOTS, 10_000_000)) {
    section.set(written.next().value as Uint8Array);
  }
  expect(written.next().done).toBe(true);
  for (let slot = 0; slot < SLOTS; slot++) {
    expect(textOf(records, slot)).toBe(plain.get(slot) ?? '');
    expect(textOf(restored, slot)).toBe(plain.get(slot) ?? '');
  }
});

it('overwrites what was cleared, replaced, or left behind in growing', () => {
  const records = new SlotRecords();
  const buffers = new Set<Buffer>();
  for (let slot = 0; slot < 2000; slot++) {
    records.set(slot, Buffer.from(`secret-${slot}`));
    buffers.add(records.bufferOf(slot));
  }
  for (let slot = 0; slot < 1000; slot++) records.clear(slot);
  for (let slot = 1000; slot < 2000; slot++) records.set(slot, Buffer.from('public'));
  for (let slot = 2000; slot < 5000; slot++) records.set(slot, Buffer.from('public'));
  expect(buffers.size).toBeGreaterThan(1);
  for (const bytes of [...buffers, ...records.sections(5000)])
    expect(Buffer.from(bytes).includes('secret')).toBe(false);
});

it('asks for no more memory than the records can need, whatever it is filled with', () => {
  const sections = new SlotRecords().sectionsToFill(10, 1000);
  (sections.next().value as Uint8Array).fill(0);
  (sections.next().value as Uint8Array).fill(255);
  expect(() => sections.next()).toThrow(RangeError);
});
