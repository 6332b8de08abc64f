/** Ingest as its process runs it, on the tests' broker, with what it has published at hand. For tests only. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, generateKeyPair } from 'jose';
import { AuditLog } from '#audit/audit-log.js';
import { custodyImageHeaders, erasureHeaders, type CustodyImage } from '#contracts/custody-image.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { parseTemplateRecord, type TemplateRecord } from '#contracts/template-record.js';
import {
  AUDIT_ENTRIES,
  AUDIT_ENTRY_PARTITIONS,
  CUSTODY_DISPOSITIONS,
  CUSTODY_IMAGES,
  CUSTODY_OUTCOMES,
  deadLetters,
  desiredTopics,
  galleryTemplates,
} from '#contracts/topics.js';
import type { Disposition } from '#domain/disposition.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { decodeImage, openPixels } from '#face/decode.js';
import { FacePool } from '#face/face-pool.js';
import type { SamplePhotographs } from '#face/sample-manifest.js';
import { DirectionFollower } from '#kafka/direction-follower.js';
import { DispositionFollower } from '#kafka/disposition-follower.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { AssertionSigner, AssertionVerifier, openJwks, type Assertion } from '#platform/identity.js';
import { FolderImageStore } from '#platform/folder-image-store.js';
import { custodyImageName, type ImageStore } from '#platform/image-store.js';
import { IngestMetrics } from '#platform/metrics.js';
import { clientForTests, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { CollectionAudit } from './collection-audit.js';
import { Enrolment } from './enrolment.js';
import { ErasedImages } from './erased-images.js';
import { ImageConsumer } from './image-consumer.js';
import { ImageErasure } from './image-erasure.js';
import { LateTemplates } from './late-templates.js';

const partitionsOf = (count: number): readonly number[] => Array.from({ length: count }, (_, partition) => partition);

export class EnrolmentForTests {
  /** In every key of this one's records: other tests use the same topics at the same time. */
  readonly tag = randomUUID().slice(0, 8);
  readonly metrics = new IngestMetrics();
  /** Everything that was read of each topic since the start. */
  readonly read = new Map<string, KafkaRecord[]>();
  readonly fatal: unknown[] = [];
  /** By image, what the disk does at the next writes and deletions of it; then it is well again. */
  readonly faults = new Map<ImageId, Error[]>();
  readonly kafka = clientForTests();
  readonly publisher = this.kafka.publisher();
  private readonly lookup = this.kafka.recordLookup();
  readonly readAgain = (partition: number, at: Offset) => this.lookup.read(CUSTODY_IMAGES, partition, at);
  readonly dispositions: DispositionFollower;
  readonly directions: DirectionFollower;
  readonly enrolment: Enrolment;

  private constructor(
    readonly faces: FacePool,
    readonly images: FolderImageStore,
    readonly signer: AssertionSigner,
    private readonly assertions: AssertionVerifier,
    private readonly home: string,
    /** A photograph of several people, of one, and of nobody. */
    readonly group: Buffer,
    readonly portrait: Buffer,
    readonly landscape: Buffer,
  ) {
    this.dispositions = this.followDispositions();
    this.directions = new DirectionFollower(this.kafka, silentLog, (error) => void this.fatal.push(error));
    this.enrolment = this.enrolmentWith({});
  }

  static async start(packFolder: string, sample: SamplePhotographs): Promise<EnrolmentForTests> {
    const home = await mkdtemp(join(tmpdir(), 'enrolment-'));
    const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
    const named = { kid: 'custody-suite', alg: 'EdDSA' };
    await writeFile(join(home, 'private.jwk'), JSON.stringify({ ...(await exportJWK(privateKey)), ...named }));
    await writeFile(
      join(home, 'public.jwks'),
      JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), ...named }] }),
    );
    await writeFile(join(home, 'key'), randomBytes(32).toString('base64'));
    const face = sample.manifest.enrolled.find(({ photograph }) => photograph === 'sample1')!;
    const group = await sample.read(face);
    const started = new EnrolmentForTests(
      await FacePool.open({ packFolder, processes: 1 }),
      await FolderImageStore.open(join(home, 'images'), join(home, 'key')),
      await AssertionSigner.open(join(home, 'private.jwk')),
      new AssertionVerifier(await openJwks(join(home, 'public.jwks'))),
      home,
      group,
      await cutOut(group, face.box),
      await sky(),
    );
    await started.follow();
    return started;
  }

  async close(): Promise<void> {
    await this.kafka.close();
    await this.faces.close();
    await rm(this.home, { recursive: true });
  }

  newId(): ImageId {
    return `test-${this.tag}-${randomUUID()}` as ImageId;
  }

  enrolmentWith(parts: {
    readonly dispositionOf?: (id: ImageId) => Disposition | undefined;
    readonly audit?: AuditLog;
  }): Enrolment {
    const dispositionOf = parts.dispositionOf ?? ((id: ImageId) => this.dispositions.get(id));
    const images = this.withFaults(this.images);
    const audit = parts.audit ?? new AuditLog(this.publisher, '/test');
    const { faces, publisher, directions, assertions } = this;
    const { modelId } = faces;
    const erasure = new ImageErasure(modelId, images, publisher, dispositionOf, directions, assertions, audit);
    const isMoreComing = (): boolean => faces.load.inFlight + faces.load.waiting > 0;
    const collection = new CollectionAudit(audit, modelId, isMoreComing, silentLog);
    const late = new LateTemplates(this.kafka, publisher, modelId);
    return new Enrolment(faces, images, publisher, dispositionOf, erasure, collection, late, this.metrics);
  }

  followDispositions(): DispositionFollower {
    const erased = new ErasedImages(this.images, this.publisher, silentLog);
    const follower = new DispositionFollower(this.kafka, silentLog, (error) => void this.fatal.push(error));
    follower.onChange((changes) => erased.apply(changes.filter(({ imageId }) => imageId.includes(this.tag))));
    return follower;
  }

  /** Publishes a record and waits for the one outcome that it has. */
  async submit(record: Omit<OutgoingRecord, 'topic'>): Promise<ImageOutcome> {
    const position = await this.publisher.publish({ topic: CUSTODY_IMAGES, ...record });
    return eventually(() => {
      const outcome = this.outcomesOf(position)[0];
      if (outcome === undefined) throw new Error(`no outcome for ${position.partition}/${position.offset}`);
      return outcome;
    });
  }

  submitImage(of: CustodyImage, bytes: Buffer): Promise<ImageOutcome> {
    return this.submit({ key: of.imageId, value: bytes, headers: custodyImageHeaders(of, '/test', 'image/jpeg') });
  }

  async submitErasure(
    imageId: ImageId,
    about: Partial<Assertion & { purpose: 'erasure' }> = {},
  ): Promise<ImageOutcome> {
    const assertion = await this.signer.sign({
      purpose: 'erasure',
      subject: 'dpo-1',
      role: 'data-protection',
      imageId,
      authority: 'DPA 2018 s.47',
      reason: 'acquitted',
      ...about,
    });
    return this.submit({ key: imageId, value: null, headers: erasureHeaders(imageId, '/test', assertion) });
  }

  /** Of the record at this place. */
  outcomesOf(position: { partition: number; offset: number }): ImageOutcome[] {
    return this.outcomes().filter(
      ({ source }) => source.partition === position.partition && source.offset === position.offset,
    );
  }

  outcomes(): ImageOutcome[] {
    return this.read
      .get(CUSTODY_OUTCOMES)!
      .map(({ value }) => parseOutcome(value))
      .filter(({ imageId }) => imageId.includes(this.tag));
  }

  ofImage(topic: string, key: string): KafkaRecord[] {
    return this.read.get(topic)!.filter((record) => record.key?.toString() === key);
  }

  templatesOf(imageId: ImageId): KafkaRecord[] {
    return this.ofImage(galleryTemplates(this.faces.modelId), imageId);
  }

  storedOf(outcome: ImageOutcome): Promise<Buffer | undefined> {
    return this.images.get(custodyImageName(outcome.imageId, outcome.source.offset));
  }

  private async follow(): Promise<void> {
    const { modelId } = this.faces;
    await this.kafka.topicAdmin().applyTopics(desiredTopics({ modelId, profile: 'local', replication: 1 }));
    await this.dispositions.start();
    await this.directions.start();
    const all = partitionsOf(TEMPLATE_PARTITIONS);
    const consumer = new ImageConsumer(this.enrolment, this.publisher, silentLog, this.readAgain);
    const { signal } = new AbortController();
    await Promise.all([
      this.readFromEnd(CUSTODY_IMAGES, all, (partition, records) => {
        const own = records.filter(({ key, headers }) =>
          `${key?.toString()} ${headers['ce_subject']}`.includes(this.tag),
        );
        const highWatermark = (records.at(-1)!.offset + 1) as Offset;
        return consumer.handleBatch({
          topic: CUSTODY_IMAGES,
          partition,
          records: own,
          highWatermark,
          generation: 1,
          signal,
          handledTo: () => undefined,
        });
      }),
      ...[CUSTODY_OUTCOMES, CUSTODY_DISPOSITIONS, galleryTemplates(modelId)].map((topic) => this.collect(topic, all)),
      this.collect(deadLetters(CUSTODY_IMAGES), [0]),
      this.collect(AUDIT_ENTRIES, partitionsOf(AUDIT_ENTRY_PARTITIONS)),
    ]);
  }

  private collect(topic: string, partitions: readonly number[]): Promise<void> {
    const kept: KafkaRecord[] = [];
    this.read.set(topic, kept);
    return this.readFromEnd(topic, partitions, async (_, records) => void kept.push(...records));
  }

  private readFromEnd(
    topic: string,
    partitions: readonly number[],
    onRecords: (partition: number, records: readonly KafkaRecord[]) => Promise<void>,
  ): Promise<void> {
    const reader = this.kafka.logReader({
      topic,
      partitions,
      from: 'end',
      onFatal: (error) => void this.fatal.push(error),
      onBatch: async ({ partition, records }) => {
        if (records.length > 0) await onRecords(partition, records);
      },
    });
    return reader.start();
  }

  /** As the disk under the store does: it throws, and nothing has happened. */
  private withFaults(store: ImageStore): ImageStore {
    const meetFault = (id: ImageId | undefined): void => {
      const fault = id === undefined ? undefined : this.faults.get(id)?.shift();
      if (fault !== undefined) throw fault;
    };
    const stemOf = (id: ImageId): string => custodyImageName(id, 0 as Offset).split('.')[0]!;
    return {
      get: (name) => store.get(name),
      delete: (name) => store.delete(name),
      put: async (name, bytes) => {
        meetFault([...this.faults.keys()].find((id) => name.startsWith(stemOf(id))));
        await store.put(name, bytes);
      },
      deleteImages: async (id, through) => {
        meetFault(id);
        return store.deleteImages(id, through);
      },
      latestImage: (id) => store.latestImage(id),
      deleteOlderImages: (id, current) => store.deleteOlderImages(id, current),
    };
  }
}

export function image(imageId: ImageId, more: Partial<CustodyImage> = {}): CustodyImage {
  return { imageId, subjectId: 'subject-1' as SubjectId, ...more };
}

export function parsed({ key, headers }: KafkaRecord): TemplateRecord {
  return parseTemplateRecord(key, { ...headers });
}

/** As the operating system reports it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: of the disk`), { code, errno: -1, syscall: 'write' });
}

async function cutOut(
  photograph: Buffer,
  box: SamplePhotographs['manifest']['enrolled'][number]['box'],
): Promise<Buffer> {
  const { left, top, right, bottom } = box;
  const margin = Math.round((right - left) / 2);
  return openPixels(await decodeImage(photograph))
    .extract({
      left: Math.max(0, left - margin),
      top: Math.max(0, top - margin),
      width: right - left + 2 * margin,
      height: bottom - top + 2 * margin,
    })
    .jpeg()
    .toBuffer();
}

function sky(): Promise<Buffer> {
  const [width, height] = [320, 240];
  const rgb = new Uint8Array(width * height * 3).fill(0x88);
  return openPixels({ width, height, rgb, format: 'jpeg', wasUpright: true }).jpeg().toBuffer();
}
