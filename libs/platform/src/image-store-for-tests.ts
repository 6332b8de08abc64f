/** What every image store does, whatever holds its objects. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { ImageId, Offset, SearchId } from '#domain/ids.js';
import {
  BEFORE_PROBES,
  custodyImageName,
  probeName,
  searchNamed,
  type ImageStore,
  type ObjectName,
  type SealedObjects,
} from './image-store.js';

/** An empty place for objects, and a look at what is there without the store. */
export interface ObjectPlace {
  open(keyFile: string): Promise<ImageStore & SealedObjects>;
  /** Names, sorted. */
  objects(): Promise<string[]>;
  read(name: string): Promise<Buffer>;
  write(name: string, bytes: Uint8Array): Promise<void>;
}

const id = 'img/../1' as ImageId;
const at = (n: number): Offset => n as Offset;
// Starts as a JPEG does, and is long enough that its middle cannot occur by chance.
const jpeg = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0]), Buffer.from('JFIF and a face '.repeat(200))]);

export function describeImageStore(where: string, emptyPlace: () => Promise<ObjectPlace>): void {
  let home: string;
  let keyFile: string;
  let place: ObjectPlace;
  let store: ImageStore & SealedObjects;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'image-store-'));
    keyFile = join(home, 'key');
    await writeFile(keyFile, `${randomBytes(32).toString('base64')}\n`);
  });
  afterAll(() => rm(home, { recursive: true }));
  beforeEach(async () => {
    place = await emptyPlace();
    store = await place.open(keyFile);
  });

  describe(`the image store ${where}`, () => {
    it('gives back the bytes, after a restart too, and undefined for what it does not hold', async () => {
      const name = custodyImageName(id, at(7));
      expect(await store.get(name)).toBeUndefined();
      await store.put(name, jpeg);
      expect(await store.get(name)).toEqual(jpeg);
      const reopened = await place.open(keyFile);
      expect(await reopened.get(name)).toEqual(jpeg);
      expect(await reopened.get(custodyImageName(id, at(8)))).toBeUndefined();
    });

    it('replaces an object, leaves no temporary file, and stays inside its folder whatever the imageId', async () => {
      const name = custodyImageName(id, at(7));
      await store.put(name, jpeg);
      await store.put(name, Buffer.from('second'));
      expect(String(await store.get(name))).toBe('second');
      expect(await place.objects()).toEqual([name]);
      expect(name).not.toContain('..');
    });

    it('keeps an empty object apart from none', async () => {
      await store.put(custodyImageName(id, at(1)), Buffer.alloc(0));
      expect(await store.get(custodyImageName(id, at(1)))).toEqual(Buffer.alloc(0));
    });

    it('writes nothing of the image, its id or its keys to the disk in the clear, and never the same bytes twice', async () => {
      const name = custodyImageName('subject-one-image' as ImageId, at(1));
      await store.put(name, jpeg);
      const [object] = await place.objects();
      const first = await place.read(object!);
      for (let from = 0; from + 16 <= jpeg.length; from += 16) {
        expect(first.includes(jpeg.subarray(from, from + 16))).toBe(false);
      }
      expect(object).not.toContain('subject-one-image');
      expect(first.includes(Buffer.from((await readFile(keyFile, 'utf8')).trim(), 'base64'))).toBe(false);
      await store.put(name, jpeg);
      const second = await place.read(object!);
      expect(second).toHaveLength(first.length);
      expect(second.subarray(4).equals(first.subarray(4))).toBe(false);
    });

    it('refuses a file of which any byte was changed with IMAGE_UNSEALABLE', async () => {
      const name = custodyImageName(id, at(1));
      await store.put(name, Buffer.from('some bytes'));
      const good = await place.read(name);
      for (let i = 0; i < good.length; i++) {
        const changed = Buffer.from(good);
        changed[i]! ^= 1;
        await place.write(name, changed);
        expect(await codeOfAsync(() => store.get(name)), `byte ${i}`).toBe('IMAGE_UNSEALABLE');
      }
      await place.write(name, good);
      expect(String(await store.get(name))).toBe('some bytes');
    });

    it('refuses a file that was cut anywhere, and one of another format', async () => {
      const name = custodyImageName(id, at(1));
      await store.put(name, Buffer.from('some bytes'));
      const good = await place.read(name);
      for (let length = 0; length < good.length; length++) {
        await place.write(name, good.subarray(0, length));
        expect(await codeOfAsync(() => store.get(name)), `length ${length}`).toBe('IMAGE_UNSEALABLE');
      }
      await place.write(name, jpeg);
      expect(await codeOfAsync(() => store.get(name))).toBe('IMAGE_UNSEALABLE');
    });

    it('does not open an object under another name: no other version, image or probe', async () => {
      const name = custodyImageName(id, at(1));
      await store.put(name, jpeg);
      const others = [
        custodyImageName(id, at(2)),
        custodyImageName('other' as ImageId, at(1)),
        probeName('0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f' as SearchId),
      ];
      for (const other of others) {
        await place.write(other, await place.read(name));
        expect(await codeOfAsync(() => store.get(other)), other).toBe('IMAGE_UNSEALABLE');
      }
    });

    it('does not open anything with another key', async () => {
      await store.put(custodyImageName(id, at(1)), jpeg);
      const otherKey = join(home, 'other-key');
      await writeFile(otherKey, randomBytes(32).toString('base64'));
      const other = await place.open(otherKey);
      expect(await codeOfAsync(() => other.get(custodyImageName(id, at(1))))).toBe('IMAGE_UNSEALABLE');
    });

    it('does not start without a key of 32 bytes', async () => {
      const short = join(home, 'short-key');
      await writeFile(short, randomBytes(16).toString('base64'));
      for (const file of [short, join(home, 'no-key')]) {
        expect(await codeOfAsync(() => place.open(file))).toBe('IMAGE_STORE_KEY_UNREADABLE');
      }
    });

    it('destroys every version up to an offset, inclusive, and no later one nor another image’s', async () => {
      for (const n of [1, 9, 10, 11, 100]) await store.put(custodyImageName(id, at(n)), jpeg);
      await store.put(custodyImageName('other' as ImageId, at(5)), jpeg);
      expect(await store.deleteImages(id, at(10))).toBe(3);
      const held = await Promise.all([1, 9, 10, 11, 100].map((n) => store.get(custodyImageName(id, at(n)))));
      expect(held.map((bytes) => bytes !== undefined)).toEqual([false, false, false, true, true]);
      expect(await store.get(custodyImageName('other' as ImageId, at(5)))).toEqual(jpeg);
      expect(await store.deleteImages(id, at(10))).toBe(0);
      expect(await store.deleteImages('never' as ImageId, at(10))).toBe(0);
    });

    it('destroys what a version replaces, and neither that version nor a later one nor another image’s', async () => {
      for (const n of [0, 9, 10, 11]) await store.put(custodyImageName(id, at(n)), jpeg);
      await store.put(custodyImageName('other' as ImageId, at(5)), jpeg);
      expect(await store.deleteOlderImages(id, at(0))).toBe(0);
      expect(await store.deleteOlderImages(id, at(10))).toBe(2);
      const held = await Promise.all([0, 9, 10, 11].map((n) => store.get(custodyImageName(id, at(n)))));
      expect(held.map((bytes) => bytes !== undefined)).toEqual([false, false, true, true]);
      expect(await store.get(custodyImageName('other' as ImageId, at(5)))).toEqual(jpeg);
    });

    it('deletes a probe, and does not mind when it is gone', async () => {
      const probe = probeName('0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f' as SearchId);
      await store.put(probe, jpeg);
      await store.delete(probe);
      await store.delete(probe);
      expect(await place.objects()).toEqual([]);
    });

    it('names every object in order, from wherever one goes on, and no temporary file', async () => {
      const searchId = '0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f' as SearchId;
      const probe = probeName(searchId);
      const images = ['a', 'b', 'c', 'd'].flatMap((one) => [1, 12].map((n) => custodyImageName(one as ImageId, at(n))));
      const all = [...images, probe].toSorted();
      for (const name of all) await store.put(name, jpeg);
      await place.write(`${all[0]}.1.ab.tmp`, jpeg);
      const named = async (after?: ObjectName): Promise<string[]> => {
        const names: string[] = [];
        for await (const name of store.names(after)) names.push(name);
        return names;
      };
      expect(await named()).toEqual(all);
      for (const [i, name] of all.entries()) expect(await named(name)).toEqual(all.slice(i + 1));
      expect(await named(BEFORE_PROBES)).toEqual([probe]);
      expect(all.map(searchNamed).filter((search) => search !== undefined)).toEqual([searchId]);
    });

    it('moves objects to another store as they are, without a key', async () => {
      const name = custodyImageName(id, at(1));
      await store.put(name, jpeg);
      const sealed = (await store.getSealed(name))!;
      expect(sealed).toEqual(await place.read(name));
      const other = await (await emptyPlace()).open(keyFile);
      expect(await other.getSealed(name)).toBeUndefined();
      await other.putSealed(name, sealed);
      expect(await other.get(name)).toEqual(jpeg);
    });

    it('opens what was sealed with a key that was replaced, and seals with the new one', async () => {
      const [name, later] = [custodyImageName(id, at(1)), custodyImageName(id, at(2))];
      await store.put(name, jpeg);
      const newKey = randomBytes(32).toString('base64');
      const [both, newOnly] = [join(home, 'both-keys'), join(home, 'new-key')];
      await writeFile(both, `${newKey}\n${await readFile(keyFile, 'utf8')}`);
      await writeFile(newOnly, newKey);
      const rotated = await place.open(both);
      expect(await rotated.get(name)).toEqual(jpeg);
      await rotated.put(later, jpeg);
      const withoutFormer = await place.open(newOnly);
      expect(await withoutFormer.get(later)).toEqual(jpeg);
      expect(await codeOfAsync(() => withoutFormer.get(name))).toBe('IMAGE_UNSEALABLE');
    });
  });
}
