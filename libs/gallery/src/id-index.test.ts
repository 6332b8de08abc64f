import { expect, it } from 'vitest';
import { hashOf, hashOfBytes, IdIndex } from './id-index.js';
import { seededRandom } from './vectors-for-tests.js';

const SEED = Number(process.env['GALLERY_SEED'] ?? Date.now() % 1e9);

it(`agrees with a plain map after any operations, also where all ids have few hashes (seed ${SEED})`, () => {
  for (const hash of [hashOf, (id: string) => hashOf(id) & 7, (id: string) => hashOf(id) | ~0xff]) {
    const random = seededRandom(SEED);
    const ids: string[] = [];
    const index = new IdIndex((item) => ids[item]!);
    const map = new Map<string, number>();
    for (let step = 0; step < 8000; step++) {
      const id = `image-${Math.floor(random() * (step < 6000 ? 2000 : 300))}`;
      const known = map.get(id);
      if (random() < 0.6) {
        const item = ids.push(id) - 1;
        expect(index.put(item, hash(id))).toBe(known);
        if (known === undefined) map.set(id, item);
      } else if (known !== undefined) {
        index.remove(known, hash(id));
        map.delete(id);
      }
      expect(index.size).toBe(map.size);
      if (hash === hashOf) expect(index.find(id)).toBe(map.get(id));
    }
    if (hash !== hashOf) continue;
    for (let i = 0; i < 2000; i++) expect(index.find(`image-${i}`)).toBe(map.get(`image-${i}`));
  }
});

it('finds what was put in, after room was made for more', () => {
  const index = new IdIndex(String);
  for (let item = 0; item < 500; item++) index.put(item, hashOf(String(item)));
  index.reserve(100_000);
  for (let item = 0; item < 500; item++) expect(index.find(String(item))).toBe(item);
  expect(index.find('500')).toBeUndefined();
});

it('refuses to remove what is not in it', () => {
  expect(() => new IdIndex(String).remove(1, hashOf('1'))).toThrow(RangeError);
});

it('has one hash for an id and for its bytes', () => {
  const id = '2024-00000001-front!~';
  expect(hashOfBytes(Buffer.from(`..${id}..`), 2, 2 + id.length)).toBe(hashOf(id));
});
