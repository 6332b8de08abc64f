import { describe, expect, it } from 'vitest';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ModelId } from '#domain/ids.js';
import { isInbound, MESSAGE_REGISTRY, topicName } from './message-registry.js';
import {
  AUDIT_CHECKPOINTS,
  AUDIT_ENTRIES,
  AUDIT_LOG,
  CUSTODY_DIRECTIONS,
  CUSTODY_DISPOSITIONS,
  CUSTODY_IMAGES,
  CUSTODY_OUTCOMES,
  deadLetters,
  desiredTopics,
  GALLERY_GAPS,
  GALLERY_QUERIES,
  GALLERY_REPLICAS,
  GALLERY_REPLIES,
  GOVERNANCE_DECISIONS,
  galleryTemplates,
  IMAGE_SIZE_BYTES_MAX,
  SEARCHES_COMMANDS,
  SEARCHES_EVENTS,
  SEARCHES_REQUESTS,
  type DesiredTopic,
  type TopicProfile,
} from './topics.js';

const model = '00112233aabbccdd' as ModelId;
const templates = galleryTemplates(model);
const profiles: readonly TopicProfile[] = ['local', 'production'];

function byName(profile: TopicProfile, replication = 1): Map<string, DesiredTopic> {
  return new Map(desiredTopics({ modelId: model, profile, replication }).map((topic) => [topic.name, topic]));
}

describe.each(profiles)('the topics, %s', (profile) => {
  const topics = byName(profile);
  const settingOf = (name: string, setting: string): string | undefined => topics.get(name)!.config[setting];

  it('are the published ones, each once', () => {
    expect([...topics.keys()].sort()).toEqual(
      [
        CUSTODY_IMAGES,
        CUSTODY_DISPOSITIONS,
        CUSTODY_DIRECTIONS,
        CUSTODY_OUTCOMES,
        templates,
        GALLERY_GAPS,
        GALLERY_QUERIES,
        GALLERY_REPLICAS,
        GALLERY_REPLIES,
        SEARCHES_REQUESTS,
        SEARCHES_COMMANDS,
        SEARCHES_EVENTS,
        GOVERNANCE_DECISIONS,
        AUDIT_LOG,
        AUDIT_ENTRIES,
        AUDIT_CHECKPOINTS,
        ...[CUSTODY_IMAGES, templates, SEARCHES_REQUESTS, SEARCHES_COMMANDS].map(deadLetters),
      ].sort(),
    );
    expect(desiredTopics({ modelId: model, profile, replication: 1 })).toHaveLength(topics.size);
  });

  it('keyed by imageId have the partitions of the templates, so that an image keeps its partition from end to end', () => {
    for (const name of [CUSTODY_IMAGES, CUSTODY_DISPOSITIONS, CUSTODY_OUTCOMES, templates]) {
      expect(topics.get(name)!.partitions, name).toBe(TEMPLATE_PARTITIONS);
    }
    expect(TEMPLATE_PARTITIONS).toBe(24);
  });

  it('keyed by searchId have as many partitions as each other', () => {
    const counts = [SEARCHES_REQUESTS, SEARCHES_COMMANDS, SEARCHES_EVENTS].map((name) => topics.get(name)!.partitions);
    expect(new Set(counts).size).toBe(1);
  });

  it('are stamped by the broker wherever an assertion is judged or a probe’s minute is counted', () => {
    for (const name of [
      CUSTODY_IMAGES,
      SEARCHES_REQUESTS,
      SEARCHES_COMMANDS,
      GALLERY_QUERIES,
      GALLERY_REPLIES,
      AUDIT_LOG,
    ]) {
      expect(settingOf(name, 'message.timestamp.type'), name).toBe('LogAppendTime');
    }
  });

  it('keep a probe’s template for a minute, in one partition that every index process reads', () => {
    expect(topics.get(GALLERY_QUERIES)!.partitions).toBe(1);
    for (const name of [GALLERY_QUERIES, GALLERY_REPLIES]) {
      expect(topics.get(name)!.config, name).toMatchObject({
        'cleanup.policy': 'delete',
        'retention.ms': '60000',
        'segment.ms': '10000',
        'file.delete.delay.ms': '0',
      });
    }
  });

  it('keep an RFR probe an hour, and images for days', () => {
    expect(settingOf(SEARCHES_REQUESTS, 'retention.ms')).toBe('3600000');
    expect(settingOf(CUSTODY_IMAGES, 'cleanup.policy')).toBe('compact,delete');
    expect(Number(settingOf(CUSTODY_IMAGES, 'retention.ms'))).toBeGreaterThan(86_400_000);
  });

  it('never delete what must be there for ever', () => {
    for (const name of [CUSTODY_DISPOSITIONS, templates, SEARCHES_EVENTS, AUDIT_ENTRIES]) {
      expect(settingOf(name, 'cleanup.policy'), name).toBe('compact');
    }
    for (const name of [AUDIT_LOG, AUDIT_CHECKPOINTS]) {
      expect(topics.get(name), name).toMatchObject({
        partitions: 1,
        config: { 'cleanup.policy': 'delete', 'retention.ms': '-1' },
      });
    }
  });

  it('take an image of the largest size wherever an image travels', () => {
    for (const name of [CUSTODY_IMAGES, SEARCHES_REQUESTS]) {
      expect(Number(settingOf(name, 'max.message.bytes')), name).toBeGreaterThan(IMAGE_SIZE_BYTES_MAX);
    }
  });

  it('store what other systems write so that every reader can read it, whatever their producers compress with', () => {
    const fromOthers = MESSAGE_REGISTRY.filter(({ messages }) => messages.some(isInbound));
    const names = fromOthers.map((of) => topicName(of, model));
    expect(names).toEqual([CUSTODY_IMAGES, SEARCHES_REQUESTS]);
    expect(names.map((name) => settingOf(name, 'compression.type'))).toEqual(names.map(() => 'uncompressed'));
  });

  it('bound how long an erased value stays in a compacted log', () => {
    for (const topic of topics.values()) {
      if (!topic.config['cleanup.policy']!.includes('compact')) continue;
      expect(Number(topic.config['max.compaction.lag.ms']), topic.name).toBeLessThanOrEqual(
        profile === 'local' ? 20_000 : 86_400_000,
      );
    }
  });
});

describe('durability', () => {
  it.each([
    [1, '1'],
    [2, '1'],
    [3, '2'],
  ])('with %i replicas a write needs %s in sync, and no unclean leader is elected', (replication, inSync) => {
    for (const topic of byName('production', replication).values()) {
      expect(topic).toMatchObject({
        replication,
        config: { 'min.insync.replicas': inSync, 'unclean.leader.election.enable': 'false' },
      });
    }
  });
});
