import { expect, it } from 'vitest';
import type { TemplateMetadata } from '#domain/gallery.js';
import { imageId, offset, subjectId } from '#domain/ids.js';
import type { GalleryEntry } from './gallery-contents.js';
import { HeldTemplates } from './held-templates.js';
import { faceLikeVector, seededRandom } from './vectors-for-tests.js';

const DIMENSION = 16;

function entryOf(image: string, subject: string, more: Partial<TemplateMetadata> = {}): GalleryEntry {
  return {
    partition: 3,
    metadata: { imageId: imageId(image), subjectId: subjectId(subject), ...more },
    source: { sourceOffset: offset(2 ** 40), acceptedAtMs: 1.7e12 },
  };
}

function empty(): HeldTemplates {
  return new HeldTemplates(DIMENSION, [3]);
}

it('gives back an entry as it came, to the last attribute', () => {
  const templates = empty();
  const vector = faceLikeVector(seededRandom(1), DIMENSION);
  const entries = [
    entryOf('a', 's'),
    entryOf('!'.repeat(128), '~'.repeat(128), {
      force: 'Dyfed-Powys – Heddlu "🙂"',
      custodyReference: '',
      capturedAt: '2024-06-01T12:00:00+02:00',
      sex: 'other',
      ageBand: '65+',
      faceBox: { left: -0.5, top: 1e-9, right: 170.25, bottom: 2 ** 40 },
      embeddingNorm: 0.1 + 0.2,
    }),
    {
      ...entryOf('c', 's', { sex: 'female' }),
      keeping: { lawfulBasis: 'PACE 1984 s.64A', reviewDue: '2030-01-01', face: 2, photographFrom: offset(7) },
    },
    { ...entryOf('d', 's'), keeping: { reviewDue: '2030-01-01' } },
  ];
  for (const entry of entries) {
    const slot = templates.insert(entry, vector);
    expect(templates.entry(slot)).toEqual(entry);
    expect(templates.slotOf(entry.metadata.imageId)).toBe(slot);
  }
});

it('tells subjects apart by their ids, also when the image went at which the id was looked up', () => {
  const templates = empty();
  const random = seededRandom(2);
  const put = (image: string, subject: string): number =>
    templates.insert(entryOf(image, subject), faceLikeVector(random, DIMENSION));
  const subjectOf = (slot: number): number => templates.store.subject(slot);
  const [first, second, third] = [put('a1', 'a'), put('b1', 'b'), put('a2', 'a')];
  expect(subjectOf(third)).toBe(subjectOf(first));
  expect(subjectOf(second)).not.toBe(subjectOf(first));
  templates.remove(first);
  // Takes the slot, and must not be taken for the subject that it was of.
  const other = put('c1', 'c');
  expect(subjectOf(other)).not.toBe(subjectOf(third));
  expect(subjectOf(put('a3', 'a'))).toBe(subjectOf(third));
  templates.replaceEntry(second, entryOf('b1', 'a'));
  expect(subjectOf(second)).toBe(subjectOf(third));
  const again = put('b2', 'b');
  expect(subjectOf(again)).not.toBe(subjectOf(third));
  expect(() => templates.entry(99)).toThrow(RangeError);
});
