/** Where a difference between replicas becomes visible: the log names the replicas, the metric raises the alert. */
import type { Log } from '#platform/log.js';
import type { QueryMetrics } from '#platform/metrics.js';
import type { DigestComparison, DigestDifference } from './digest-comparison.js';

export function showDigestDifferences(
  change: { readonly differ: readonly DigestDifference[]; readonly agree: readonly DigestDifference[] },
  { differences }: Pick<DigestComparison, 'differences'>,
  { galleryDigestMismatch }: Pick<QueryMetrics, 'galleryDigestMismatch'>,
  log: Log,
): void {
  for (const { replicas, ...difference } of change.differ) {
    galleryDigestMismatch.set({ partition: String(difference.partition) }, 1);
    log.error('gallery-digest-mismatch', { ...difference, replicas: replicas.join(' ') });
  }
  const partitions = new Set(differences.map(({ partition }) => partition));
  for (const { replicas, ...agreement } of change.agree) {
    if (!partitions.has(agreement.partition)) galleryDigestMismatch.set({ partition: String(agreement.partition) }, 0);
    log.info('gallery-digests-agree', { ...agreement, replicas: replicas.join(' ') });
  }
}
