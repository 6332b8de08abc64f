import { describe, expect, it } from 'vitest';
import { differencesOf, leftAlone } from './topic-differences.js';

const wanted = (config: Record<string, string>, partitions = 3) => ({ name: 't', partitions, replication: 1, config });
const found = (settings: Record<string, string>, partitions = 3, replication = 1) =>
  new Map([
    [
      't',
      {
        partitions,
        replication,
        settings: new Map(Object.entries(settings).map(([name, value]) => [name, { value, own: true }])),
      },
    ],
  ]);
const about = (setting: string, is: string, want: string) => ({ topic: 't', setting, found: is, wanted: want });

describe('topics that are there', () => {
  it('are as wanted whatever else they are set to, and in whatever order a setting lists things', () => {
    const config = { 'cleanup.policy': 'compact,delete', 'retention.ms': '5' };
    expect(
      differencesOf([wanted(config)], found({ ...config, 'cleanup.policy': 'delete, compact', other: 'x' })),
    ).toEqual([]);
  });

  it('differ in what is named: a topic, its partitions, its replication, a setting', () => {
    expect(differencesOf([wanted({})], new Map())).toEqual([about('topic', 'missing', '3 partitions')]);
    expect(differencesOf([wanted({ 'retention.ms': '5' }, 4)], found({}, 3, 2))).toEqual([
      about('partitions', '3', '4'),
      about('replication', '2', '1'),
      about('retention.ms', 'unset', '5'),
    ]);
  });
});

describe('what is set without being asked about', () => {
  it.each([
    ['retention.ms', '5', '6'],
    ['retention.ms', '5', '-1'],
    ['retention.ms', 'unset', '5'],
    ['max.message.bytes', '5', '6'],
    ['max.compaction.lag.ms', '9223372036854775807', '20000'],
    ['min.insync.replicas', '1', '2'],
    ['cleanup.policy', 'compact,delete', 'compact'],
    ['compression.type', 'producer', 'uncompressed'],
  ])('is %s from %s to %s', (setting, is, want) => {
    expect(leftAlone(about(setting, is, want), true)).toBeUndefined();
  });
});

describe('what is left to somebody who has looked', () => {
  it.each([
    ['retention.ms', '6', '5', 'deleted earlier'],
    ['retention.ms', '-1', '5', 'deleted earlier'],
    ['delete.retention.ms', '6', '5', 'would miss erasures'],
    ['max.message.bytes', '6', '5', 'would be refused'],
    ['min.insync.replicas', '2', '1', 'fewer disks'],
    ['cleanup.policy', 'delete', 'compact', 'begin to compact'],
    ['cleanup.policy', 'compact', 'compact,delete', 'begin to delete'],
    ['replication', '1', '3', 'for an administrator'],
  ])('is %s from %s to %s', (setting, is, want, why) => {
    const left = leftAlone(about(setting, is, want), true)!;
    expect(left).toMatchObject(about(setting, is, want));
    expect(left.why).toContain(why);
    expect(left.byHand).toContain(want);
  });

  it('is every change of a partition count, and no command gives a keyed topic another one', () => {
    expect(leftAlone(about('partitions', '3', '4'), true)!.byHand).toContain('another topic with 4 partitions');
    expect(leftAlone(about('partitions', '3', '4'), false)!.byHand).toContain('--alter --topic t --partitions 4');
    expect(leftAlone(about('partitions', '4', '3'), false)!.why).toContain('takes no partition away');
  });

  it('comes with a value that the shell and Kafka take for one', () => {
    const { byHand } = leftAlone(about('cleanup.policy', 'compact', 'compact,delete'), true)!;
    expect(byHand).toMatch(/--add-config cleanup\.policy=\[compact,delete\]$/);
  });
});
