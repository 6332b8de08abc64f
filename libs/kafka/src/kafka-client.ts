/**
 * Kafka, for the services: the only lib that knows kafkajs.
 *
 * - A {@link Publisher} writes records, batched per tick, acknowledged by all replicas, in order per partition.
 * - A {@link LogReader} reads fixed partitions from known offsets, commits nothing, and says how far it has read.
 * - A {@link GroupConsumer} shares a topic's partitions with the other members of its group.
 * - A {@link RecordLookup} says whether single records are in a log still.
 * - A {@link TopicAdmin} creates and checks topics.
 * - A {@link LogRestore} writes logs again as a backup has them.
 * - An {@link OwnAccess} says what this process may not do and should.
 *
 * Everything survives a broker that goes away and comes back; delivery is at least once.
 */
import kafkajs, { type Kafka, type KafkaConfig, type LogEntry } from 'kafkajs';
import type { OwnPrincipal, Principal } from '#contracts/access.js';
import type { DesiredTopic } from '#contracts/topics.js';
import { AccessAdmin } from './access-admin.js';
import { GroupConsumer, type GroupConsumerOptions } from './group-consumer.js';
import type { KafkaLog } from './kafka-record.js';
import { securityConfig, type KafkaSecurity } from './kafka-security.js';
import { applyKafkajsWorkarounds } from './kafkajs-workarounds.js';
import { LogReader, type LogReaderOptions } from './log-reader.js';
import { LogRestore } from './log-restore.js';
import { OwnAccess } from './own-access.js';
import { Publisher, type PublisherOptions } from './publisher.js';
import { RecordLookup } from './record-lookup.js';
import { TopicAdmin } from './topic-admin.js';

export interface KafkaClientOptions {
  /** `host:port` of some brokers; the others are learned from them. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly log: KafkaLog;
  /** Absent: neither encrypted nor authenticated. */
  readonly security?: KafkaSecurity | undefined;
}

/** A local broker answers at once; another site's, through TLS, does not. */
const CONNECTION_TIMEOUT_MS = 3_000;
/** Above what a broker may take to replicate a write. */
const REQUEST_TIMEOUT_MS = 15_000;

interface Closable {
  close(): Promise<void>;
}

export class KafkaClient {
  private readonly kafka: Kafka;
  private readonly open = new Set<Closable>();
  private readonly log: KafkaLog;

  /** @throws Failure KAFKA_CREDENTIALS_UNREADABLE naming the file */
  constructor(options: KafkaClientOptions) {
    applyKafkajsWorkarounds();
    this.log = options.log;
    const config: KafkaConfig = {
      brokers: [...options.brokers],
      clientId: options.clientId,
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      // kafkajs gives up after its retries, so retrying is done above it, where it can go on for as long as it takes.
      retry: { retries: 1, initialRetryTime: 100, maxRetryTime: 500 },
      logLevel: kafkajs.logLevel.INFO,
      logCreator: () => (entry) => forwardLog(this.log, entry),
    };
    if (options.security !== undefined) Object.assign(config, securityConfig(options.security));
    this.kafka = new kafkajs.Kafka(config);
  }

  publisher(options: PublisherOptions = {}): Publisher {
    return this.track((closed) => new Publisher(this.kafka, this.log, options, closed));
  }

  logReader(options: LogReaderOptions): LogReader {
    return this.track((closed) => new LogReader(this.kafka, this.log, options, closed));
  }

  groupConsumer(options: GroupConsumerOptions): GroupConsumer {
    return this.track((closed) => new GroupConsumer(this.kafka, this.log, options, closed));
  }

  recordLookup(): RecordLookup {
    return this.track((closed) => new RecordLookup(this.kafka, closed));
  }

  logRestore(): LogRestore {
    return this.track((closed) => new LogRestore(this.kafka, closed));
  }

  /** @param topics those that the principal has to do with */
  ownAccess(principal: OwnPrincipal, topics: readonly DesiredTopic[]): OwnAccess {
    return this.track((closed) => new OwnAccess(this.kafka, this.log, principal, topics, closed));
  }

  /** @param brokersNameOf as the brokers know a principal, for example `User:custody-ingest` */
  accessAdmin(brokersNameOf: (principal: Principal) => string): AccessAdmin {
    return new AccessAdmin(this.kafka, brokersNameOf);
  }

  topicAdmin(): TopicAdmin {
    return new TopicAdmin(this.kafka, this.log);
  }

  /** Stops every reader, lets every publisher write what it has accepted (bounded), and disconnects. */
  async close(): Promise<void> {
    // Readers first: their handlers may still publish.
    const all = [...this.open];
    const publishers = all.filter((one) => one instanceof Publisher);
    await Promise.all(all.filter((one) => !(one instanceof Publisher)).map((one) => one.close()));
    await Promise.all(publishers.map((one) => one.close()));
  }

  private track<T extends Closable>(make: (closed: () => void) => T): T {
    const closable: T = make(() => this.open.delete(closable));
    this.open.add(closable);
    return closable;
  }
}

/** A group's first member meets a broker that has yet to make the topic of offsets; it asks again and is answered. */
const ROUTINE = /group coordinator is not available/i;

/** kafkajs calls routine reconnects errors; they are warnings here, and what matters is logged by this lib itself. */
function forwardLog(log: KafkaLog, { level, namespace, log: content }: LogEntry): void {
  const { message, timestamp: _timestamp, stack: _stack, logger: _logger, ...fields } = content;
  const event = `kafkajs.${(namespace || 'client').toLowerCase()}`;
  const said = { ...fields, text: message };
  const routine = ROUTINE.test(String(fields['error']));
  if (!routine && (level === kafkajs.logLevel.ERROR || level === kafkajs.logLevel.WARN)) log.warn(event, said);
  else log.debug(event, said);
}
