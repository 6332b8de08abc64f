import { Failure } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';

/**
 * The template partitions of each worker of a process. Shard s of S takes the partitions p with p mod S = s and deals
 * them to its workers in turn, so that any two layouts can be compared partition by partition.
 *
 * @throws Failure BAD_SETTING when the partitions cannot be dealt so
 */
export function partitionsByWorker(shards: number, shard: number, workers: number): readonly (readonly number[])[] {
  if (TEMPLATE_PARTITIONS % shards !== 0) {
    throw new Failure('BAD_SETTING', `SHARDS=${shards}: ${TEMPLATE_PARTITIONS} must be divisible by it.`, false);
  }
  if (shard >= shards)
    throw new Failure('BAD_SETTING', `SHARD=${shard}: shards are numbered 0 to ${shards - 1}.`, false);
  const own = TEMPLATE_PARTITIONS / shards;
  if (workers > own) {
    throw new Failure(
      'BAD_SETTING',
      `WORKERS=${workers}: a shard of ${own} partitions has no more than ${own} workers.`,
      false,
    );
  }
  const dealt: number[][] = Array.from({ length: workers }, () => []);
  for (let i = 0; i < own; i++) dealt[i % workers]!.push(shard + i * shards);
  return dealt;
}
