/** One line a replica, for people who watch a gallery. */
import type { ListedGallery } from './local-replicas.js';

export const STATUS_COLUMNS = [
  'replica',
  'shard',
  'state',
  'answers',
  'behind',
  'enrolled',
  'snapshot age',
  'destroyed through',
  'problem',
] as const;

type Row = readonly [string, string, string, string, string, string, string, string, string];

/** @returns in the order of {@link STATUS_COLUMNS} */
export function statusRows(gallery: ListedGallery, nowMs: number): readonly Row[] {
  return gallery.replicasOnRecord.map((replica) => {
    const { replicaId, layout, state, reportedAt, snapshot, snapshotProblem, destroyedThrough, partitions } = replica;
    const silent = state === 'silent' || state === 'stopped' ? ` since ${reportedAt}` : '';
    const answers = gallery.replicas.some((one) => one.replicaId.startsWith(`${replicaId}/`));
    const behind = partitions.reduce(
      (records, { partition, watermark }) => records + Math.max(0, (gallery.watermark[partition] ?? 0) - watermark),
      0,
    );
    return [
      replicaId,
      `${layout.shard} of ${layout.shards}`,
      `${state}${silent}`,
      answers ? 'yes' : 'no',
      `${behind} records`,
      String(partitions.reduce((sum, { enrolled }) => sum + enrolled, 0)),
      snapshot === null ? 'none' : age(nowMs - Date.parse(snapshot.at)),
      rangeText(destroyedThrough),
      snapshotProblem ?? '',
    ];
  });
}

function rangeText(through: Readonly<Record<string, number>>): string {
  const offsets = Object.values(through);
  if (offsets.length === 0) return 'nothing known';
  return `offsets ${Math.min(...offsets)} to ${Math.max(...offsets)}`;
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
