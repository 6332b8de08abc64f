import { describe, expect, it } from 'vitest';
import { erasureDestructionId, type ErasureDestruction } from '#domain/direction.js';
import type { Disposition } from '#domain/disposition.js';
import { IMAGE_STORE, IMAGES_LOG, replicaStore, storesOf, templatesLog } from '#domain/erasure-destruction.js';
import type { ImageId, ModelId, Offset } from '#domain/ids.js';
import { PendingDestruction } from './pending-destruction.js';

const imageId = 'image-1' as ImageId;
const through = 7 as Offset;
const model = '00112233aabbccdd' as ModelId;
const log = templatesLog(model);
const at = '2026-01-01T00:00:00.000Z';
const disposition: Disposition = {
  imageId,
  kind: 'erased',
  since: at,
  authority: 'DPA 2018 s.47',
  reason: 'upheld',
  sourceOffset: through,
};
const replicas = [
  { key: 'm/0-of-2/a', shards: 2, shard: 0 },
  { key: 'm/1-of-2/b', shards: 2, shard: 1 },
];

function record(stores: ErasureDestruction['stores'], completedAt?: string): ErasureDestruction {
  return {
    directionId: erasureDestructionId(imageId, through),
    kind: 'erasure-destruction',
    target: { imageIds: [imageId] },
    authority: 'a',
    reason: 'r',
    by: 'custody-face-search',
    role: 'system',
    at,
    through,
    erasedAt: at,
    stores,
    ...(completedAt !== undefined && { completedAt }),
  };
}

describe('an erased image on its way', () => {
  const stores = storesOf(3, [model], replicas);
  const expected = (): PendingDestruction => {
    const pending = PendingDestruction.of(disposition, through, undefined);
    pending.expect(stores, at);
    return pending;
  };

  it('is held by the stores that can hold its partition, and by no other shard’s replicas', () => {
    expect(stores).toEqual([IMAGE_STORE, IMAGES_LOG, log, replicaStore('m/1-of-2/b'), 'register']);
  });

  it('is not destroyed before it is known which stores there are', () => {
    expect(PendingDestruction.of(disposition, through, undefined).open).not.toEqual([]);
  });

  it('is destroyed when each store has confirmed', () => {
    const pending = expected();
    for (const store of stores) {
      expect(pending.open).toContain(store);
      pending.confirm(store, at);
    }
    expect(pending.open).toEqual([]);
    expect(pending.stores).toContainEqual({ store: IMAGE_STORE, at });
  });

  it('waits for a replica that came since, and no longer for one that is retired', () => {
    const pending = expected();
    const [old, fresh] = [replicaStore('m/1-of-2/b'), replicaStore('m/0-of-1/c')];
    pending.expect(storesOf(3, [model], [{ key: 'm/0-of-1/c', shards: 1, shard: 0 }]), at);
    expect(pending.isOpen(old)).toBe(false);
    expect(pending.isOpen(fresh)).toBe(true);
  });

  it('counts a replica that was started anew as not confirmed', () => {
    const pending = expected();
    const store = replicaStore('m/1-of-2/b');
    pending.confirm(store, at);
    pending.withdraw(store);
    expect(pending.isOpen(store)).toBe(true);
  });

  it('asks for a marker on each log once', () => {
    const pending = expected();
    expect(stores.filter((store) => pending.needsMarker(store))).toEqual([IMAGES_LOG, log]);
    pending.mark(log, 12 as Offset);
    expect(pending.needsMarker(log)).toBe(false);
    expect(pending.markerOf(log)).toBe(12);
  });

  it('goes on where a predecessor has put it on record', () => {
    const known = record([
      { store: IMAGE_STORE, at },
      { store: log, at: null, marker: 12 as Offset },
    ]);
    const pending = PendingDestruction.of(disposition, through, known);
    expect(pending.changed).toBe(false);
    expect(pending.open).toEqual([log]);
    expect(pending.needsMarker(log)).toBe(false);
    const wider = PendingDestruction.of({ ...disposition, sourceOffset: 9 as Offset }, 9 as Offset, known);
    expect(wider.stores).toEqual([]);
  });

  it('is opened again by a late record behind the marker, and only by that', () => {
    const whole = record(
      [
        { store: IMAGE_STORE, at },
        { store: log, at, marker: 12 as Offset },
      ],
      at,
    );
    const pending = PendingDestruction.of(disposition, through, whole);
    expect(pending.reopenLog(log, 11 as Offset)).toBe(false);
    expect(pending.open).toEqual([]);
    expect(pending.reopenLog(log, 15 as Offset)).toBe(true);
    expect(pending.open).toEqual([IMAGE_STORE, log]);
    expect(pending.needsMarker(log)).toBe(true);
    expect(pending.isKnownTo(whole)).toBe(false);
    expect(pending.isKnownTo(record([{ store: log, at, marker: 16 as Offset }], at))).toBe(true);

    const ofNewOwner = PendingDestruction.of(disposition, through, whole);
    pending.passFoundTo(ofNewOwner);
    expect(ofNewOwner.open).toEqual([IMAGE_STORE, log]);
  });
});
