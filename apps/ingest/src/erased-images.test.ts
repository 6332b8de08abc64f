import { describe, expect, it } from 'vitest';
import { offset, type ImageId, type Offset } from '#domain/ids.js';
import type { DispositionChange } from '#kafka/disposition-follower.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { ErasedImages } from './erased-images.js';

function erased(imageId: string, through: number, outlivesRecord = false): DispositionChange {
  const id = imageId as ImageId;
  const disposition = {
    imageId: id,
    kind: 'erased' as const,
    since: '2026-01-01T00:00:00Z',
    authority: 'custody',
    reason: 'test',
    sourceOffset: offset(through),
  };
  return { imageId: id, disposition, outlivesRecord };
}

/** A store of which one object cannot be deleted while it is `stuck`. */
class Store {
  readonly deleted: [string, number][] = [];
  readonly stuck = new Set<string>();
  failures = 0;

  deleteImages(imageId: ImageId, through: Offset): Promise<number> {
    if (this.stuck.has(imageId)) {
      this.failures++;
      return Promise.reject(new Error('the object is locked'));
    }
    this.deleted.push([imageId, through]);
    return Promise.resolve(1);
  }
}

function create(): { images: ErasedImages; store: Store; published: string[] } {
  const store = new Store();
  const published: string[] = [];
  const publisher = {
    publish: ({ key }: { readonly key: string | Buffer | null }) => {
      published.push(String(key));
      return Promise.resolve({ partition: 0, offset: offset(0) });
    },
  };
  const log = { warn: () => undefined, error: () => undefined };
  return { images: new ErasedImages(store, publisher, log), store, published };
}

describe('ErasedImages', () => {
  it('deletes what is behind an object that cannot be deleted, and that one as soon as it can be', async () => {
    const { images, store } = create();
    store.stuck.add('locked');
    images.apply([erased('locked', 3), ...Array.from({ length: 10 }, (_, i) => erased(`image-${i}`, i))]);
    await eventually(() => expect(store.deleted).toHaveLength(10));
    images.apply([erased('later', 7)]);
    await eventually(() => expect(store.deleted).toContainEqual(['later', 7]));
    await eventually(() => expect(store.failures).toBeGreaterThan(2));
    store.stuck.clear();
    await eventually(() => expect(store.deleted).toContainEqual(['locked', 3]));
    expect(store.deleted).toHaveLength(12);
    await images.close();
  });

  it('deletes through the last bound of an image that was said several times', async () => {
    const { images, store } = create();
    store.stuck.add('a');
    images.apply([erased('a', 3)]);
    await eventually(() => expect(store.failures).toBeGreaterThan(0));
    images.apply([erased('a', 9)]);
    store.stuck.clear();
    await eventually(() => expect(store.deleted).toEqual([['a', 9]]));
    await images.close();
  });

  it('puts a weakened disposition back, and leaves alone what erases nothing', async () => {
    const { images, store, published } = create();
    const { disposition } = erased('c', 1);
    const restricted = { ...disposition!, kind: 'restricted' as const };
    images.apply([
      erased('b', 1, true),
      { imageId: 'c' as ImageId, disposition: restricted, outlivesRecord: false },
      { imageId: 'd' as ImageId, disposition: null, outlivesRecord: false },
    ]);
    await eventually(() => expect(published).toEqual(['b']));
    expect(store.deleted).toEqual([['b', 1]]);
    await images.close();
  });

  it('ends while an object still cannot be deleted', async () => {
    const { images, store } = create();
    store.stuck.add('locked');
    images.apply([erased('locked', 3)]);
    await images.close();
    images.apply([erased('other', 3)]);
    expect(store.deleted).toEqual([]);
  });
});
