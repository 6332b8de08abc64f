/**
 * Over how many index processes a local gallery is spread: S shards, each held by R replicas. Which processes a layout
 * has, what each is called, and where its snapshots lie.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { Failure } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { Settings } from '#platform/settings.js';

export interface GalleryLayout {
  readonly shards: number;
  readonly replicas: number;
}

export const galleryLayoutSchema: z.ZodType<GalleryLayout> = z.strictObject({
  shards: z.number().int().min(1).max(TEMPLATE_PARTITIONS),
  replicas: z.number().int().min(1),
});

/** An index process of a layout. */
export interface LayoutReplica {
  readonly shards: number;
  readonly shard: number;
  readonly replicaId: string;
  /** In the log stream. */
  readonly name: string;
  readonly snapshotDir: string;
}

/**
 * The first replica of a shard lies where the only one always did, so that a gallery of one process is found again
 * whatever layouts came between.
 */
export function replicasOf({ shards, replicas }: GalleryLayout, dataFolder: string): readonly LayoutReplica[] {
  return Array.from({ length: shards * replicas }, (_, i) => {
    const shard = i % shards;
    const replica = Math.floor(i / shards);
    const folder = `shard-${shard}-of-${shards}`;
    const replicaId = `${folder}-replica-${replica}`;
    return {
      shards,
      shard,
      replicaId,
      name: shards * replicas === 1 ? 'index' : `index ${replicaId}`,
      snapshotDir: join(dataFolder, 'snapshots', replica === 0 ? folder : replicaId),
    };
  });
}

export function sameLayout(a: GalleryLayout, b: GalleryLayout): boolean {
  return a.shards === b.shards && a.replicas === b.replicas;
}

export function layoutText({ shards, replicas }: GalleryLayout): string {
  return `${shards} shard${shards === 1 ? '' : 's'} x ${replicas} replica${replicas === 1 ? '' : 's'}`;
}

/** @throws Failure BAD_SETTING when the partitions cannot be dealt to the workers of so many shards */
export function expectDealable({ shards }: GalleryLayout, { WORKERS }: Pick<Settings, 'WORKERS'>): void {
  if (TEMPLATE_PARTITIONS % shards !== 0) {
    throw new Failure('BAD_SETTING', `--shards ${shards}: ${TEMPLATE_PARTITIONS} must be divisible by it.`, false);
  }
  const own = TEMPLATE_PARTITIONS / shards;
  if (WORKERS > own) {
    throw new Failure('BAD_SETTING', `WORKERS=${WORKERS}: each of ${shards} shards has ${own} partitions.`, false);
  }
}
