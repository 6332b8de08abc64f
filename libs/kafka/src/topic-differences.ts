/**
 * What differs between the topics that are wanted and those that are there, and what of it may be changed without anybody
 * having looked. Never what would destroy records, refuse records that were taken so far, or send a key elsewhere.
 */
import type { DesiredTopic } from '#contracts/topics.js';

export interface TopicDifference {
  readonly topic: string;
  /** `partitions`, `replication`, `topic` (missing), or the name of a topic setting. */
  readonly setting: string;
  readonly wanted: string;
  readonly found: string;
}

/** A difference that is not mended by itself: why, and what somebody who has looked would do. */
export interface LeftAlone extends TopicDifference {
  readonly why: string;
  readonly byHand: string;
}

export interface FoundSetting {
  /** In force, wherever it comes from. */
  readonly value: string;
  /** Set on the topic itself. */
  readonly own: boolean;
}

export interface FoundTopic {
  readonly partitions: number;
  readonly replication: number;
  readonly settings: ReadonlyMap<string, FoundSetting>;
}

/** A topic's policy: what it lists happens to records. */
const POLICY = 'cleanup.policy';
/** What is smaller in these loses records, or refuses records that were taken so far. Kafka's -1 is without limit. */
const NOT_TO_SHRINK: Readonly<Record<string, string>> = {
  'retention.ms': 'records would be deleted earlier than was promised',
  'retention.bytes': 'records would be deleted earlier than was promised',
  'local.retention.ms': 'records would be deleted earlier than was promised',
  'delete.retention.ms': 'a reader that was away would miss erasures',
  'max.message.bytes': 'records that are taken now would be refused',
  'min.insync.replicas': 'an acknowledged record would be on fewer disks',
};

export function differencesOf(
  desired: readonly DesiredTopic[],
  found: ReadonlyMap<string, FoundTopic>,
): TopicDifference[] {
  return desired.flatMap(({ name, partitions, replication, config }) => {
    const topic = found.get(name);
    if (topic === undefined) {
      return [{ topic: name, setting: 'topic', wanted: `${partitions} partitions`, found: 'missing' }];
    }
    const settings = Object.entries(config).map(([setting, wanted]): [string, string, string] => [
      setting,
      normalised(wanted),
      normalised(topic.settings.get(setting)?.value ?? 'unset'),
    ]);
    const all: [string, string, string][] = [
      ['partitions', String(partitions), String(topic.partitions)],
      ['replication', String(replication), String(topic.replication)],
      ...settings,
    ];
    return all.flatMap(([setting, wanted, is]) => (wanted === is ? [] : [{ topic: name, setting, wanted, found: is }]));
  });
}

/** @returns undefined for what may simply be set */
export function leftAlone(difference: TopicDifference, keyed: boolean): LeftAlone | undefined {
  const { topic, setting, wanted, found } = difference;
  const left = (why: string, byHand: string): LeftAlone => ({ ...difference, why, byHand });
  if (setting === 'partitions') {
    if (keyed) {
      const byHand = `none keeps the keys: make another topic with ${wanted} partitions, and send it every record of ${topic}`;
      return left('its keys would go to other partitions', byHand);
    }
    if (Number(wanted) < Number(found))
      return left('Kafka takes no partition away', `delete ${topic}, then topics apply`);
    return left(
      'its readers count its partitions at start',
      `kafka-topics.sh --alter --topic ${topic} --partitions ${wanted}`,
    );
  }
  if (setting === 'replication') {
    const byHand = `kafka-reassign-partitions.sh --execute, with ${wanted} replicas for each partition of ${topic}`;
    return left('its records would be copied or dropped, and where to is for an administrator to say', byHand);
  }
  const byHand = `kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config ${setting}=${quoted(wanted)}`;
  if (setting === POLICY && found !== 'unset') {
    const added = wanted.split(',').filter((what) => !found.split(',').includes(what));
    if (added.length > 0) return left(`it would begin to ${added.join(' and ')} records`, byHand);
    return undefined;
  }
  const why = NOT_TO_SHRINK[setting];
  return why !== undefined && isLess(wanted, found) ? left(why, byHand) : undefined;
}

function isLess(wanted: string, found: string): boolean {
  if (found === 'unset') return false;
  return withoutLimit(wanted) < withoutLimit(found);
}

function withoutLimit(value: string): number {
  const number = Number(value);
  return number === -1 ? Infinity : number;
}

/** Of kafka-configs.sh: several values of one setting stand in brackets. */
function quoted(value: string): string {
  return value.includes(',') ? `[${value}]` : value;
}

/** `compact,delete` and `delete, compact` are the same. */
function normalised(value: string): string {
  return value
    .split(',')
    .map((part) => part.trim())
    .sort()
    .join(',');
}
