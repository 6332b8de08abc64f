/**
 * What it takes for an erased image to be destroyed: every place that may hold its photograph or its template, and when
 * each is known to hold nothing of it. Until all are, the erasure is unsearchable and no more.
 */
import type { Direction, ErasureDestruction } from './direction.js';
import type { ImageId, ModelId, Offset } from './ids.js';

/** The sealed photographs. */
export const IMAGE_STORE = 'image-store';
/** `custody.images`, where the photograph came from. */
export const IMAGES_LOG = 'images-log';
/** The query service's own list of the images held. */
export const REGISTER = 'register';

/** `gallery.templates` of one model. */
export function templatesLog(model: ModelId): string {
  return `templates-log/${model}`;
}

/** Memory and snapshots of one index process. @param key see `replicaKey` */
export function replicaStore(key: string): string {
  return `replica/${key}`;
}

/**
 * The places that may hold something of an image.
 *
 * @param partition of the image, on every keyed topic
 * @param replicas those on record, whether they are heard of or not
 */
export function storesOf(
  partition: number,
  models: readonly ModelId[],
  replicas: readonly { readonly key: string; readonly shards: number; readonly shard: number }[],
): readonly string[] {
  const holders = replicas.filter(({ shards, shard }) => partition % shards === shard);
  return [
    IMAGE_STORE,
    IMAGES_LOG,
    ...models.map(templatesLog),
    ...holders.map(({ key }) => replicaStore(key)),
    REGISTER,
  ];
}

/** What is on record of the destruction of all that came from `through` or before: the whole one, if there is one. */
export function destructionOf(
  about: readonly Direction[],
  image: ImageId,
  through: Offset,
): ErasureDestruction | undefined {
  const covering = about.filter(
    (direction): direction is ErasureDestruction =>
      direction.kind === 'erasure-destruction' &&
      direction.target.imageIds.includes(image) &&
      direction.through >= through,
  );
  return covering.find(({ completedAt }) => completedAt !== undefined) ?? covering[0];
}

/** @param erasedAt ISO 8601 */
export function isLate(erasedAt: string, withinMs: number, nowMs: number): boolean {
  return nowMs - Date.parse(erasedAt) > withinMs;
}
