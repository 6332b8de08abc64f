/**
 * Creates what is missing of the topics that the services need, and says what differs. A partition count is never
 * changed: a keyed topic that grows sends the same key to another partition.
 */
import kafkajs, { type Admin, type Kafka } from 'kafkajs';
import { generationOf, type DesiredTopic } from '#contracts/topics.js';
import { describeError, Failure } from '#domain/errors.js';
import type { ModelId, Offset } from '#domain/ids.js';
import { backoffMs, pause, within } from './backoff.js';
import type { KafkaLog } from './kafka-record.js';
import type { LogEnds } from './kafka-connection.js';
import { isWithoutBroker } from './kafkajs-workarounds.js';

export interface TopicDifference {
  readonly topic: string;
  /** `partitions`, `replication`, `topic` (missing), or the name of a topic setting. */
  readonly setting: string;
  readonly wanted: string;
  readonly found: string;
}

export interface TopicReport {
  readonly created: readonly string[];
  readonly unchanged: readonly string[];
  /** Whose settings were altered, when that was asked for. */
  readonly altered: readonly string[];
  /** What still differs. */
  readonly differing: readonly TopicDifference[];
}

const CALL_TIMEOUT_MS = 30_000;
/** How long a new topic may take to get leaders. */
const SERVABLE_TIMEOUT_MS = 30_000;
/** Kafka's code for a setting of the topic itself, as against a default. */
const TOPIC_CONFIG_SOURCE = 1;

interface FoundTopic {
  readonly partitions: number;
  readonly replication: number;
}
interface FoundSetting {
  readonly value: string;
  /** Set on the topic itself. */
  readonly own: boolean;
}

export class TopicAdmin {
  constructor(
    private readonly kafka: Kafka,
    private readonly log: KafkaLog,
  ) {}

  /** @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED */
  async checkTopics(desired: readonly DesiredTopic[]): Promise<TopicReport> {
    return this.withAdmin(async (admin) => {
      const found = await topicsFound(admin);
      const differing: TopicDifference[] = [];
      for (const topic of desired) {
        if (!found.has(topic.name)) {
          differing.push({
            topic: topic.name,
            setting: 'topic',
            wanted: `${topic.partitions} partitions`,
            found: 'missing',
          });
        }
      }
      differing.push(...(await differences(admin, desired, found)));
      return { created: [], altered: [], unchanged: namesWithout(desired, differing), differing };
    });
  }

  /**
   * Creates missing topics and waits until each partition can be written to. Differing settings are altered only when
   * `alterSettings` is set; partition counts and replication never.
   */
  async applyTopics(desired: readonly DesiredTopic[], alterSettings = false): Promise<TopicReport> {
    return this.withAdmin(async (admin) => {
      const before = await topicsFound(admin);
      const missing = desired.filter((topic) => !before.has(topic.name));
      if (missing.length > 0) await createTopics(admin, missing);
      for (const topic of missing) await servable(admin, topic.name, topic.partitions);
      const found = missing.length > 0 ? await topicsFound(admin) : before;
      let differing = await differences(admin, desired, found);
      const altered = new Set<string>();
      if (alterSettings) {
        for (const topic of desired) {
          const settings = differing.filter((d) => d.topic === topic.name && d.setting in topic.config);
          if (settings.length === 0) continue;
          await alterSettingsOf(admin, topic);
          altered.add(topic.name);
        }
        if (altered.size > 0) differing = await differences(admin, desired, found);
      }
      const created = missing.map(({ name }) => name);
      if (created.length > 0) this.log.info('kafka.topics.created', { topics: created });
      const untouched = desired.filter(({ name }) => !created.includes(name) && !altered.has(name));
      return { created, altered: [...altered], unchanged: namesWithout(untouched, differing), differing };
    });
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

  /** The models that have a gallery here: whatever is erased goes from each. @throws Failure KAFKA_UNAVAILABLE */
  async generations(): Promise<readonly ModelId[]> {
    return this.withAdmin(async (admin) =>
      (await admin.listTopics()).flatMap((name) => generationOf(name) ?? []).sort(),
    );
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

  private async withAdmin<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.kafka.admin({ retry: { retries: 3 } });
    try {
      try {
        await within(CALL_TIMEOUT_MS, 'no broker answered', admin.connect());
      } catch (error) {
        throw new Failure('KAFKA_UNAVAILABLE', 'Kafka cannot be reached.', true, { cause: error });
      }
      return await use(admin);
    } catch (error) {
      if (error instanceof Failure) throw error;
      if (isWithoutBroker(error)) {
        throw new Failure('KAFKA_UNAVAILABLE', 'Kafka was lost before it answered.', true, { cause: error });
      }
      const text = `Kafka refused an administrative request: ${describeAll(error)}`;
      throw new Failure('TOPIC_CHANGE_FAILED', text, (error as { retriable?: boolean }).retriable === true, {
        cause: error,
      });
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }
}

/** kafkajs gathers what a broker says of several topics, and its own message then says nothing. */
function describeAll(error: unknown): string {
  const { errors } = error as { errors?: { topic?: string; message: string }[] };
  if (errors === undefined) return describeError(error);
  return errors.map(({ topic, message }) => (topic === undefined ? message : `${topic}: ${message}`)).join('; ');
}

async function topicsFound(admin: Admin): Promise<Map<string, FoundTopic>> {
  const { topics } = await admin.fetchTopicMetadata();
  return new Map(
    topics.map(({ name, partitions }) => [
      name,
      { partitions: partitions.length, replication: partitions[0]?.replicas.length ?? 0 },
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

/** Of the topics that exist. */
async function differences(
  admin: Admin,
  desired: readonly DesiredTopic[],
  found: ReadonlyMap<string, FoundTopic>,
): Promise<TopicDifference[]> {
  const existing = desired.filter(({ name }) => found.has(name));
  const settings = await settingsFound(admin, existing);
  const differing: TopicDifference[] = [];
  for (const { name, partitions, replication, config } of existing) {
    const topic = found.get(name)!;
    const differs = (setting: string, wanted: string, is: string) => {
      if (wanted !== is) differing.push({ topic: name, setting, wanted, found: is });
    };
    differs('partitions', String(partitions), String(topic.partitions));
    differs('replication', String(replication), String(topic.replication));
    for (const setting in config) {
      differs(setting, normalised(config[setting]!), normalised(settings.get(name)?.get(setting)?.value ?? 'unset'));
    }
  }
  return differing;
}

async function settingsFound(
  admin: Admin,
  topics: readonly DesiredTopic[],
): Promise<Map<string, Map<string, FoundSetting>>> {
  if (topics.length === 0) return new Map();
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topics.map(({ name }) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
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

/** kafkajs replaces all settings of a topic, so those that are not ours are given again. */
async function alterSettingsOf(admin: Admin, topic: DesiredTopic): Promise<void> {
  const current = (await settingsFound(admin, [topic])).get(topic.name) ?? new Map<string, FoundSetting>();
  const entries = new Map<string, string>();
  for (const [name, { value, own }] of current) if (own) entries.set(name, value);
  for (const name in topic.config) entries.set(name, topic.config[name]!);
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

/** `compact,delete` and `delete, compact` are the same. */
function normalised(value: string): string {
  return value.includes(',')
    ? value
        .split(',')
        .map((part) => part.trim())
        .sort()
        .join(',')
    : value;
}

function namesWithout(desired: readonly DesiredTopic[], differing: readonly TopicDifference[]): string[] {
  return desired.map(({ name }) => name).filter((name) => !differing.some((d) => d.topic === name));
}
