import { describe, expect, it } from 'vitest';
import { encodeGovernanceDecision } from '#contracts/governance-record.js';
import { galleryTemplates } from '#contracts/topics.js';
import type { ModelId, Offset } from '#domain/ids.js';
import type { BackedUpRecord } from './backup-contents.js';
import type { BackupManifest } from './backup-manifest.js';
import { galleryNotWhole } from './restore-galleries.js';

const old = '00112233aabbccdd' as ModelId;
const next = 'ffeeddccbbaa9988' as ModelId;
const time = (hour: number): string => new Date(Date.UTC(2026, 0, 1, hour)).toISOString();

function switched(hour: number, from: ModelId, to: ModelId): BackedUpRecord {
  const value = encodeGovernanceDecision({
    decisionId: `switch at ${hour}`,
    by: 'a',
    role: 'threshold-approver',
    reason: 'r',
    type: 'GALLERY_SWITCHED',
    from,
    to,
    lacking: 0,
  });
  const timestampMs = Date.parse(time(hour));
  return { key: null, value, headers: {}, timestampMs, partition: 0, offset: hour as Offset };
}

/** Its galleries were copied at these hours. */
function backup(copied: Readonly<Record<ModelId, number>>): Pick<BackupManifest, 'streams' | 'startedAt'> {
  const streams = Object.entries(copied).map(([model, hour]) => ({
    name: galleryTemplates(model as ModelId),
    cutAt: time(hour),
    ends: {},
    next: {},
    records: {},
    lastObject: null,
    done: true,
  }));
  return { startedAt: time(9), streams };
}

describe('the gallery in force after a restore', () => {
  it('is whole when nobody ever switched, or did before it was copied', () => {
    expect(galleryNotWhole([], backup({ [old]: 10 }))).toBeUndefined();
    expect(galleryNotWhole([switched(8, old, next)], backup({ [old]: 10, [next]: 10 }))).toBeUndefined();
  });

  it('may be half when it was copied before the switch', () => {
    expect(galleryNotWhole([switched(12, old, next)], backup({ [old]: 10, [next]: 10 }))).toEqual({
      inForce: next,
      since: time(12),
      before: old,
      isInBackup: true,
    });
  });

  it('is not there when it was made since', () => {
    expect(galleryNotWhole([switched(12, old, next)], backup({ [old]: 10 }))).toMatchObject({
      inForce: next,
      before: old,
      isInBackup: false,
    });
  });

  it('is whole when it was switched away from and back to it since', () => {
    const thereAndBack = [switched(12, old, next), switched(13, next, old)];
    expect(galleryNotWhole(thereAndBack, backup({ [old]: 10, [next]: 10 }))).toBeUndefined();
  });

  it('is not changed by a switch that was not legal, nor by what cannot be read', () => {
    const unreadable = { ...switched(11, old, next), value: Buffer.from('{') };
    expect(galleryNotWhole([unreadable, switched(12, old, old)], backup({ [old]: 10 }))).toBeUndefined();
  });
});
