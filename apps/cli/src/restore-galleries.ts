/** Whether the gallery that searches are to use after a restore is one that the backup has whole. */
import { parseGovernanceDecision } from '#contracts/governance-record.js';
import { galleryTemplates } from '#contracts/topics.js';
import { Refusal } from '#domain/errors.js';
import { foldGovernance, NOTHING_DECIDED, type GallerySwitch } from '#domain/governance.js';
import type { ModelId } from '#domain/ids.js';
import type { BackedUpRecord } from './backup-contents.js';
import type { BackupManifest } from './backup-manifest.js';

export interface GalleryNotWhole {
  readonly inForce: ModelId;
  /** Since then it is in force. ISO 8601. */
  readonly since: string;
  /** In force when the backup was made. */
  readonly before: ModelId;
  /** Whether the backup has something of it: as it was before it came in force, so perhaps half. */
  readonly isInBackup: boolean;
}

/**
 * @param decisions all of `governance.decisions`, in the log's order, as they are restored
 * @returns undefined when the gallery in force was in force when it was copied, or nobody ever switched
 */
export function galleryNotWhole(
  decisions: readonly BackedUpRecord[],
  { streams, startedAt }: Pick<BackupManifest, 'streams' | 'startedAt'>,
): GalleryNotWhole | undefined {
  const switches = switchesOf(decisions);
  const last = switches.at(-1);
  if (last === undefined) return undefined;
  const copied = streams.find(({ name }) => name === galleryTemplates(last.modelId));
  const copiedAt = copied?.cutAt ?? startedAt;
  const before = switches.findLast(({ switched }) => switched.at <= copiedAt)?.modelId ?? switches[0]!.from;
  if (copied !== undefined && before === last.modelId) return undefined;
  return { inForce: last.modelId, since: last.switched.at, before, isInBackup: copied !== undefined };
}

function switchesOf(decisions: readonly BackedUpRecord[]): readonly GallerySwitch[] {
  let state = NOTHING_DECIDED;
  return decisions.flatMap(({ value, timestampMs }) => {
    const before = state.gallery;
    try {
      state = foldGovernance(state, parseGovernanceDecision(value), new Date(timestampMs).toISOString());
    } catch (error) {
      // What is not legal, or cannot be read, changes nothing, here as everywhere.
      if (!(error instanceof Refusal)) throw error;
    }
    return state.gallery === null || state.gallery === before ? [] : [state.gallery];
  });
}
