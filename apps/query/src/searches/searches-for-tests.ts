/** Searches on the shared broker, in a view of their own, for the tests of what people do with them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditLog } from '#audit/audit-log.js';
import type { AuditEntry } from '#contracts/audit-record.js';
import { partitionFor } from '#contracts/murmur2.js';
import type { SearchEvent } from '#contracts/search-record.js';
import {
  AUDIT_ENTRIES,
  AUDIT_LOG,
  CUSTODY_DIRECTIONS,
  desiredTopics,
  SEARCH_PARTITIONS,
  SEARCHES_EVENTS,
} from '#contracts/topics.js';
import { CodedError } from '#domain/errors.js';
import type { Disposition } from '#domain/disposition.js';
import type { ImageId, ModelId, Offset } from '#domain/ids.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { Publisher } from '#kafka/publisher.js';
import { clientForTests, silentLog } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { publishEvents } from './search-events-for-tests.js';
import { SearchView } from './search-view.js';

const WITHIN_MS = 10_000;

export class SearchesForTests {
  /** What was decided about images since the searches. */
  readonly dispositions = new Map<string, Disposition>();
  readonly dispositionOf = (id: ImageId): Disposition | undefined => this.dispositions.get(id);

  private constructor(
    readonly kafka: KafkaClient,
    readonly publisher: Publisher,
    readonly audit: AuditLog,
    readonly view: SearchView,
    /** Removed at the end. */
    readonly folder: string,
  ) {}

  static async open(): Promise<SearchesForTests> {
    const kafka = clientForTests();
    const topics = desiredTopics({ modelId: 'a0d170a0d170a0d1' as ModelId, profile: 'local', replication: 1 });
    const needed = new Set<string>([SEARCHES_EVENTS, AUDIT_ENTRIES, AUDIT_LOG, CUSTODY_DIRECTIONS]);
    await kafka.topicAdmin().applyTopics(topics.filter(({ name }) => needed.has(name)));
    const folder = await mkdtemp(join(tmpdir(), 'searches-'));
    const publisher = kafka.publisher();
    const view = await SearchView.open(kafka, join(folder, 'searches.sqlite'), silentLog, (error) => {
      throw error;
    });
    await view.caughtUp();
    return new SearchesForTests(kafka, publisher, new AuditLog(publisher, '/test'), view, folder);
  }

  async close(): Promise<void> {
    await this.view.close();
    await this.kafka.close();
    await rm(this.folder, { recursive: true });
  }

  /** Resolves when the view shows them. */
  async publish(...events: readonly SearchEvent[]): Promise<void> {
    for (const { partition, offset } of await publishEvents(this.publisher, ...events)) {
      await this.view.reflects(partition, (offset + 1) as Offset, WITHIN_MS);
    }
  }

  /** As the end of a retention does it. */
  async forget(searchId: string, key: string): Promise<void> {
    const partition = partitionFor(searchId, SEARCH_PARTITIONS);
    const { offset } = await this.publisher.publish({ topic: SEARCHES_EVENTS, key, partition, value: null });
    await this.view.reflects(partition, (offset + 1) as Offset, WITHIN_MS);
  }

  withdraw(imageId: string): void {
    this.dispositions.set(imageId, {
      imageId: imageId as ImageId,
      kind: 'restricted',
      since: new Date().toISOString(),
      authority: 'a',
      reason: 'r',
      sourceOffset: 0 as Offset,
    });
  }

  /** In the order of their time. */
  async audited(searchId: string): Promise<readonly AuditEntry[]> {
    const records = await readTopic(this.kafka, AUDIT_ENTRIES);
    return records
      .map(({ value }) => JSON.parse(value!.toString()) as AuditEntry)
      .filter((entry) => entry.searchId === searchId)
      .sort((a, b) => (a.at < b.at ? -1 : 1));
  }
}

/** The code and the details of what is refused. */
export async function refusalOf(run: () => Promise<unknown>): Promise<{ code: string; details?: unknown } | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { code: error.code, ...('details' in error && error.details !== undefined && { details: error.details }) };
  }
}
