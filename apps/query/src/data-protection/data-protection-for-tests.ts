/** The data-protection half of query replicas, on the tests' broker, with a gallery of their own. For tests only. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, generateKeyPair } from 'jose';
import { AuditLog } from '#audit/audit-log.js';
import type { AuditEntry } from '#contracts/audit-record.js';
import { encodeTemplate, templateHeaders } from '#contracts/template-record.js';
import {
  AUDIT_ENTRIES,
  AUDIT_LOG,
  CUSTODY_DIRECTIONS,
  CUSTODY_DISPOSITIONS,
  CUSTODY_IMAGES,
  desiredTopics,
  galleryTemplates,
} from '#contracts/topics.js';
import type { Actor } from '#domain/identity.js';
import type { ImageId, ModelId, Offset, SubjectId } from '#domain/ids.js';
import { DirectionFollower } from '#kafka/direction-follower.js';
import { DispositionFollower } from '#kafka/disposition-follower.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { AssertionSigner } from '#platform/identity.js';
import { clientForTests, silentLog } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { CustodyDirections } from './custody-directions.js';
import { DirectedDispositions } from './directed-dispositions.js';
import { DirectionOwner } from './direction-owner.js';
import { Erasures } from './erasures.js';
import { GalleryRegister } from './gallery-register.js';

export const IMAGES_ALONE_MAX = 2;
/** What is destroyed, and when, has tests of its own. */
const NOTHING_PENDING = { all: () => [], isLate: () => false };
export const dpo = (n: number): Actor => ({ id: `dpo-${n}`, roles: ['data-protection'] });

export interface DataProtectionReplica {
  readonly dispositions: DispositionFollower;
  readonly directions: DirectionFollower;
  readonly register: GalleryRegister;
  readonly given: CustodyDirections;
  readonly erasures: Erasures;
  readonly owner: DirectionOwner;
}

export class DataProtectionForTests {
  readonly fatal: unknown[] = [];
  private readonly publisher;
  private readonly open: { close(): Promise<void> }[] = [];
  private readonly sourceOffsets = new Map<ImageId, Offset>();

  private constructor(
    readonly kafka: KafkaClient,
    private readonly home: string,
    private readonly modelId: ModelId,
    private readonly signer: AssertionSigner,
  ) {
    this.publisher = kafka.publisher();
  }

  static async start(): Promise<DataProtectionForTests> {
    const kafka = clientForTests();
    const modelId = randomBytes(8).toString('hex') as ModelId;
    const topics = [CUSTODY_IMAGES, CUSTODY_DISPOSITIONS, CUSTODY_DIRECTIONS, AUDIT_ENTRIES, AUDIT_LOG];
    const wanted = desiredTopics({ modelId, profile: 'local', replication: 1 });
    await kafka
      .topicAdmin()
      .applyTopics(wanted.filter(({ name }) => [...topics, galleryTemplates(modelId)].includes(name)));
    const home = await mkdtemp(join(tmpdir(), 'data-protection-'));
    const { privateKey } = await generateKeyPair('EdDSA', { extractable: true });
    const key = { ...(await exportJWK(privateKey)), kid: 'custody-query', alg: 'EdDSA' };
    await writeFile(join(home, 'key.jwk'), JSON.stringify(key));
    return new DataProtectionForTests(kafka, home, modelId, await AssertionSigner.open(join(home, 'key.jwk')));
  }

  async close(): Promise<void> {
    await Promise.all(this.open.map((one) => one.close()));
    await this.kafka.close();
    await rm(this.home, { recursive: true });
  }

  async replica(audit = new AuditLog(this.publisher, '/test')): Promise<DataProtectionReplica> {
    const onFatal = (error: unknown) => void this.fatal.push(error);
    const dispositions = new DispositionFollower(this.kafka, silentLog, onFatal);
    const directions = new DirectionFollower(this.kafka, silentLog, onFatal);
    const dispositionOf = (id: ImageId) => dispositions.get(id);
    const register = await GalleryRegister.open({
      kafka: this.kafka,
      file: join(this.home, randomUUID(), 'register.sqlite'),
      modelId: this.modelId,
      after: Promise.resolve(),
      dispositionOf,
      reviewOn: () => undefined,
      log: silentLog,
      onFatal,
    });
    const directed = new DirectedDispositions(directions, dispositionOf, register);
    const given = new CustodyDirections(this.publisher, audit, directions, directed, dispositionOf, register);
    const { publisher, signer } = this;
    const erasures = new Erasures(
      publisher,
      signer,
      audit,
      directions,
      dispositionOf,
      register,
      IMAGES_ALONE_MAX,
      NOTHING_PENDING,
    );
    const owner = new DirectionOwner(directions, dispositions, register, directed, erasures, publisher, silentLog);
    await dispositions.start();
    await directions.start();
    await register.caughtUp();
    this.open.push(register, directions, dispositions);
    return { dispositions, directions, register, given, erasures, owner };
  }

  newImage(): ImageId {
    return `image-${randomUUID()}` as ImageId;
  }

  newSubject(): SubjectId {
    return `subject-${randomUUID()}` as SubjectId;
  }

  /** As ingest does with a custody image. */
  async enrol(imageId: ImageId, subjectId: SubjectId): Promise<void> {
    const sourceOffset = ((this.sourceOffsets.get(imageId) ?? -1) + 1) as Offset;
    this.sourceOffsets.set(imageId, sourceOffset);
    const faceBox = { left: 0, top: 0, right: 1, bottom: 1 };
    await this.publisher.publish({
      topic: galleryTemplates(this.modelId),
      key: imageId,
      value: encodeTemplate(new Float32Array(4).fill(0.5)),
      headers: templateHeaders(
        {
          modelId: this.modelId,
          metadata: { imageId, subjectId, faceBox, embeddingNorm: 20 },
          source: { sourceOffset, acceptedAtMs: Date.now() },
          keeping: { face: 0 },
        },
        '/test',
      ),
    });
  }

  /** What is in the topic under this key, in order. */
  async recordsOf(topic: string, key: string): Promise<KafkaRecord[]> {
    return (await readTopic(this.kafka, topic)).filter((record) => record.key?.toString() === key);
  }

  async auditOf(imageId: ImageId): Promise<AuditEntry[]> {
    const entries = await readTopic(this.kafka, AUDIT_ENTRIES);
    return entries
      .map(({ value }) => JSON.parse(String(value)) as AuditEntry)
      .filter((entry) => entry.imageIds?.includes(imageId) === true)
      .sort((a, b) => (a.at < b.at ? -1 : 1));
  }
}
