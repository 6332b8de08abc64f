import { describe, expect, it } from 'vitest';
import { CUSTODY_DIRECTIONS, CUSTODY_DISPOSITIONS, CUSTODY_IMAGES, GOVERNANCE_DECISIONS } from '#contracts/topics.js';
import { cutOf, isNewer, lostSince } from './backup-contents.js';
import type { BackupManifest } from './backup-manifest.js';

const time = (minute: number): string => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();

/** Each topic with the minute in which it was cut, and its ends by partition. */
function manifest(
  cuts: Readonly<Record<string, readonly [number, Readonly<Record<string, number>>]>>,
  more: Partial<BackupManifest> = {},
): BackupManifest {
  return {
    format: 1,
    backupId: 'b',
    kind: 'everything',
    clusterId: 'c',
    startedAt: time(0),
    completedAt: null,
    expiresAt: time(0),
    keyId: '',
    wrappedKey: '',
    handled: [],
    streams: Object.entries(cuts).map(([name, [minute, ends]]) => ({
      name,
      cutAt: time(minute),
      ends,
      next: ends,
      records: {},
      lastObject: null,
      done: true,
    })),
    segments: [],
    ...more,
  };
}

const backup = manifest({
  [CUSTODY_IMAGES]: [5, { 0: 50 }],
  [GOVERNANCE_DECISIONS]: [10, { 0: 3 }],
  [CUSTODY_DIRECTIONS]: [11, { 0: 20 }],
  [CUSTODY_DISPOSITIONS]: [12, { 0: 7, 1: 8 }],
});
const newer = (directions: number, of: Readonly<Record<string, number>>, minute = 20): BackupManifest =>
  manifest({
    [GOVERNANCE_DECISIONS]: [minute, { 0: 3 }],
    [CUSTODY_DIRECTIONS]: [minute + 1, { 0: directions }],
    [CUSTODY_DISPOSITIONS]: [minute + 2, of],
  });

describe('the decisions of a backup', () => {
  it('are as old as the first of their logs', () => {
    expect(cutOf(backup)).toBe(time(10));
    expect(cutOf(manifest({ [CUSTODY_IMAGES]: [5, {}] }))).toBe(time(0));
  });

  it('are newer than those of another when their logs reach at least as far, of the same Kafka', () => {
    expect(isNewer(newer(20, { 0: 7, 1: 8 }), backup)).toBe(true);
    expect(isNewer(newer(25, { 0: 7, 1: 9 }), backup)).toBe(true);
    expect(isNewer({ ...newer(25, { 0: 7, 1: 9 }), clusterId: 'd' }, backup)).toBe(false);
  });

  it('are not newer by a clock alone', () => {
    expect(isNewer(newer(19, { 0: 7, 1: 8 }), backup)).toBe(false);
    expect(isNewer(newer(25, { 0: 7, 1: 7 }), backup)).toBe(false);
    expect(isNewer(newer(25, { 0: 7 }), backup)).toBe(false);
    expect(isNewer(newer(25, { 0: 7, 1: 9 }, 10), backup)).toBe(false);
    expect(isNewer(backup, backup)).toBe(false);
  });
});

describe('from when on decisions are lost', () => {
  const decisions = newer(25, { 0: 7, 1: 9 });

  it('is when the decisions were copied, or before: an erasure that was not handled then is in none of them', () => {
    expect(lostSince(backup, decisions)).toBe(time(20));
    expect(lostSince(backup, { ...decisions, oldestUnhandledAt: null })).toBe(time(20));
    expect(lostSince(backup, { ...decisions, oldestUnhandledAt: time(18) })).toBe(time(18));
    expect(lostSince(backup, { ...decisions, oldestUnhandledAt: time(21) })).toBe(time(20));
  });

  it('is, of a backup alone, when its images were copied, because those that waited come back', () => {
    expect(lostSince({ ...backup, oldestUnhandledAt: time(1) }, undefined)).toBe(time(5));
  });
});
