/**
 * Creates what is missing of the topics that the services need, and says what differs. A partition count is never
 * changed: a keyed topic that grows sends the same key to another partition.
 */
import kafkajs, { type Admin, type Kafka } from 'kafkajs';
import { generationOf, isKeyed, type DesiredTopic } from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';
import type { ModelId, Offset } from '#domain/ids.js';
import { AdminRequests, type LogSize } from './admin-requests.js';
import { CALL_TIMEOUT_MS, withAdmin } from './admin-session.js';
import { backoffMs, pause } from './backoff.js';
import type { KafkaLog } from './kafka-record.js';
import type { LogEnds } from './kafka-connection.js';
import type { SettingsInForce } from './retention-bounds.js';
import {
  differencesOf,
  leftAlone,
  type FoundSetting,
  type FoundTopic,
  type LeftAlone,
  type TopicDifference,
} from './topic-differences.js';

export interface TopicReport {
  readonly created: readonly string[];
  readonly unchanged: readonly string[];
  /** Whose settings were altered, when that was asked for. */
  readonly altered: readonly string[];
  /** What still differs. */
  readonly differing: readonly TopicDifference[];
  /** Of that, what should have been altered and was not. */
  readonly leftAlone: readonly LeftAlone[];
}

/** Kafka as it is: what the bounds of retention follow from. */
export interface SettingsFound {
  /** By topic, every setting in force. */
  readonly topics: ReadonlyMap<string, SettingsInForce>;
  /** By broker. */
  readonly brokers: readonly SettingsInForce[];
}

/** How long a new topic may take to get leaders. */
const SERVABLE_TIMEOUT_MS = 30_000;
/** Kafka's code for a setting of the topic itself, as against a default. */
const TOPIC_CONFIG_SOURCE = 1;

export class TopicAdmin {
  constructor(
    private readonly kafka: Kafka,
    private readonly log: KafkaLog,
  ) {}

  /** @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED */
  async checkTopics(desired: readonly DesiredTopic[]): Promise<TopicReport> {
    return this.withAdmin(async (admin) => {
      const differing = differencesOf(desired, await topicsFound(admin, desired));
      return { created: [], altered: [], unchanged: namesWithout(desired, differing), differing, leftAlone: [] };
    });
  }

  /**
   * Creates missing topics and waits until each partition can be written to. Differing settings are altered only when
   * `alterSettings` is set, and then only those of which nobody can lose anything; partition counts and replication never.
   */
  async applyTopics(desired: readonly DesiredTopic[], alterSettings = false): Promise<TopicReport> {
    return this.withAdmin(async (admin) => {
      const before = await topicsFound(admin, desired);
      const missing = desired.filter((topic) => !before.has(topic.name));
      if (missing.length > 0) await createTopics(admin, missing);
      for (const topic of missing) await servable(admin, topic.name, topic.partitions);
      let found = missing.length > 0 ? await topicsFound(admin, desired) : before;
      const differing = differencesOf(desired, found);
      const altered = new Set<string>();
      const left: LeftAlone[] = [];
      for (const topic of alterSettings ? desired : []) {
        const wanted: TopicDifference[] = [];
        for (const difference of differing.filter((one) => one.topic === topic.name)) {
          const kept = leftAlone(difference, isKeyed(topic.name));
          if (kept === undefined) wanted.push(difference);
          else left.push(kept);
        }
        if (wanted.length === 0) continue;
        await alterSettingsOf(admin, topic, found.get(topic.name)!, new Set(wanted.map(({ setting }) => setting)));
        altered.add(topic.name);
      }
      if (altered.size > 0) found = await topicsFound(admin, desired);
      const still = differencesOf(desired, found);
      const created = missing.map(({ name }) => name);
      if (created.length > 0) this.log.info('kafka.topics.created', { topics: created });
      const untouched = desired.filter(({ name }) => !created.includes(name) && !altered.has(name));
      const unchanged = namesWithout(untouched, still);
      return { created, altered: [...altered], unchanged, differing: still, leftAlone: left };
    });
  }

  /** Of the topics that exist. @throws Failure KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHORISED, TOPIC_CHANGE_FAILED */
  async settingsInForce(topics: readonly DesiredTopic[]): Promise<SettingsFound> {
    return this.withAdmin(async (admin) => {
      const found = await topicsFound(admin, topics);
      const { brokers } = await admin.describeCluster();
      return {
        topics: new Map([...found].map(([name, { settings }]) => [name, valuesOf(settings)])),
        brokers: await Promise.all(brokers.map(({ nodeId }) => brokerSettings(admin, String(nodeId)))),
      };
    });
  }

  /** Of each broker, its replicas of all topics. @throws Failure KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHORISED */
  async logSizes(): Promise<readonly (readonly LogSize[])[]> {
    let requests: AdminRequests | undefined;
    try {
      requests = await AdminRequests.open(this.kafka);
      const sizes = await requests.logSizes();
      if (sizes !== undefined) return sizes;
    } catch (cause) {
      throw new Failure('KAFKA_UNAVAILABLE', 'Kafka did not say how large its logs are.', true, { cause });
    } finally {
      void requests?.close();
    }
    throw new Failure('KAFKA_NOT_AUTHORISED', 'Kafka does not say how large its logs are: describe on cluster.', false);
  }

  /** By partition, the ends of the log. @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED */
  async topicOffsets(topic: string): Promise<Map<number, LogEnds>> {
    return this.withAdmin(async (admin) => {
      const offsets = await admin.fetchTopicOffsets(topic);
      return new Map(
        offsets.map(({ partition, low, high }) => [
          partition,
          { low: Number(low) as Offset, high: Number(high) as Offset },
        ]),
      );
    });
  }

  /** @throws Failure KAFKA_UNAVAILABLE */
  async topicNames(): Promise<readonly string[]> {
    return this.withAdmin((admin) => admin.listTopics());
  }

  /** The models that have a gallery here: whatever is erased goes from each. @throws Failure KAFKA_UNAVAILABLE */
  async generations(): Promise<readonly ModelId[]> {
    return (await this.topicNames()).flatMap((name) => generationOf(name) ?? []).sort();
  }

  /**
   * By partition, how far a consumer group has handled a topic, exclusive; a partition of which it has committed nothing
   * is missing.
   *
   * @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED
   */
  async groupOffsets(groupId: string, topic: string): Promise<Map<number, Offset>> {
    return this.withAdmin(async (admin) => {
      const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
      const committed = (found?.partitions ?? []).filter(({ offset }) => Number(offset) >= 0);
      return new Map(committed.map(({ partition, offset }) => [partition, Number(offset) as Offset]));
    });
  }

  /**
   * Deletes what is there of these topics and of the group, records, offsets and all.
   *
   * @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED
   */
  async deleteTopics(names: readonly string[], groupId: string): Promise<void> {
    await this.withAdmin(async (admin) => {
      const found = new Set(await admin.listTopics());
      const topics = names.filter((name) => found.has(name));
      if (topics.length > 0) await admin.deleteTopics({ topics, timeout: CALL_TIMEOUT_MS });
      const { groups } = await admin.listGroups();
      if (groups.some((group) => group.groupId === groupId)) await admin.deleteGroups([groupId]);
    });
  }

  /** How many brokers answer. @throws Failure KAFKA_UNAVAILABLE */
  async brokerCount(): Promise<number> {
    return this.withAdmin(async (admin) => (await admin.describeCluster()).brokers.length);
  }

  /** Kafka's own id, of 22 characters: another one is another log, whatever the topics are called. @throws Failure KAFKA_UNAVAILABLE */
  async clusterId(): Promise<string> {
    return this.withAdmin(async (admin) => (await admin.describeCluster()).clusterId);
  }

  private withAdmin<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
    return withAdmin(this.kafka, use);
  }
}

/** Of those that are wanted, those that exist. */
async function topicsFound(admin: Admin, desired: readonly DesiredTopic[]): Promise<Map<string, FoundTopic>> {
  const names = new Set(desired.map(({ name }) => name));
  const topics = (await admin.fetchTopicMetadata()).topics.filter(({ name }) => names.has(name));
  const settings = await settingsFound(
    admin,
    topics.map(({ name }) => name),
  );
  return new Map(
    topics.map(({ name, partitions }) => [
      name,
      {
        partitions: partitions.length,
        replication: partitions[0]?.replicas.length ?? 0,
        settings: settings.get(name) ?? new Map<string, FoundSetting>(),
      },
    ]),
  );
}

async function createTopics(admin: Admin, missing: readonly DesiredTopic[]): Promise<void> {
  await admin.createTopics({
    // kafkajs' own wait fails when a broker has not heard of the topic yet; `servable` waits instead.
    waitForLeaders: false,
    timeout: CALL_TIMEOUT_MS,
    topics: missing.map(({ name, partitions, replication, config }) => ({
      topic: name,
      numPartitions: partitions,
      replicationFactor: replication,
      configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
    })),
  });
}

/** Kafka can answer before the new partitions have leaders that know it. */
async function servable(admin: Admin, topic: string, partitions: number): Promise<void> {
  const deadlineMs = Date.now() + SERVABLE_TIMEOUT_MS;
  for (let attempt = 1; ; attempt++) {
    try {
      if ((await admin.fetchTopicOffsets(topic)).length === partitions) return;
    } catch (error) {
      if (Date.now() > deadlineMs) {
        throw new Failure('TOPIC_NOT_SERVABLE', `${topic} was created but has no leaders.`, true, { cause: error });
      }
    }
    if (Date.now() > deadlineMs)
      throw new Failure('TOPIC_NOT_SERVABLE', `${topic} was created but is not whole.`, true);
    await pause(backoffMs(attempt));
  }
}

async function settingsFound(admin: Admin, topics: readonly string[]): Promise<Map<string, Map<string, FoundSetting>>> {
  if (topics.length === 0) return new Map();
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topics.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
  });
  return new Map(
    resources.map(({ resourceName, configEntries }) => [
      resourceName,
      new Map(
        configEntries.map(({ configName, configValue, configSource }) => [
          configName,
          { value: configValue, own: Number(configSource) === TOPIC_CONFIG_SOURCE },
        ]),
      ),
    ]),
  );
}

async function brokerSettings(admin: Admin, nodeId: string): Promise<SettingsInForce> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: kafkajs.ConfigResourceTypes.BROKER, name: nodeId }],
  });
  return new Map((resources[0]?.configEntries ?? []).map(({ configName, configValue }) => [configName, configValue]));
}

function valuesOf(settings: ReadonlyMap<string, FoundSetting>): SettingsInForce {
  return new Map([...settings].map(([name, { value }]) => [name, value]));
}

/** kafkajs replaces all settings of a topic, so those that stay as they are are given again. */
async function alterSettingsOf(
  admin: Admin,
  topic: DesiredTopic,
  found: FoundTopic,
  altered: ReadonlySet<string>,
): Promise<void> {
  const entries = new Map<string, string>();
  for (const [name, { value, own }] of found.settings) if (own) entries.set(name, value);
  for (const name of altered) entries.set(name, topic.config[name]!);
  await admin.alterConfigs({
    validateOnly: false,
    resources: [
      {
        type: kafkajs.ConfigResourceTypes.TOPIC,
        name: topic.name,
        configEntries: [...entries].map(([name, value]) => ({ name, value })),
      },
    ],
  });
}

function namesWithout(desired: readonly DesiredTopic[], differing: readonly TopicDifference[]): string[] {
  return desired.map(({ name }) => name).filter((name) => !differing.some((d) => d.topic === name));
}
