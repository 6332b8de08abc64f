/**
 * From a record on `custody.images` to its effects: image store, template, outcome. Delivery is at least once and the
 * effect exactly once, because every effect is an upsert that carries the offset it came from.
 */
import type { AuditLog } from '#audit/audit-log.js';
import { ASSERTION_HEADER, custodyImageId, parseCustodyImage, type CustodyImage } from '#contracts/custody-image.js';
import { dispositionHeaders, encodeDisposition } from '#contracts/disposition-record.js';
import { partitionFor } from '#contracts/murmur2.js';
import { encodeOutcome, outcomeHeaders } from '#contracts/outcome-record.js';
import { encodeTemplate, templateHeaders, templateTombstoneHeaders } from '#contracts/template-record.js';
import { CUSTODY_DISPOSITIONS, CUSTODY_OUTCOMES, galleryTemplates } from '#contracts/topics.js';
import { isErased, mergeDisposition, type Disposition } from '#domain/disposition.js';
import { Refusal } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { FacePool } from '#face/face-pool.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Assertion, AssertionVerifier } from '#platform/identity.js';
import { custodyImageName, type ImageStore } from '#platform/image-store.js';
import type { IngestMetrics } from '#platform/metrics.js';

export const INGEST_SOURCE = '/custody-face-search/ingest';

/** {@link ImageOutcome} without what every outcome has. */
type Result = ImageOutcome extends infer Outcome
  ? Outcome extends unknown
    ? Omit<Outcome, 'imageId' | 'at' | 'source'>
    : never
  : never;

type ErasureAssertion = Extract<Assertion, { purpose: 'erasure' }>;

export class Enrolment {
  /** Erasures under way whose audit entry is in the log: what is tried again after that appends no second one. */
  private readonly auditedErasures = new Set<string>();

  constructor(
    private readonly faces: FacePool,
    private readonly images: ImageStore,
    private readonly publisher: Publisher,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
    private readonly assertions: AssertionVerifier,
    private readonly audit: AuditLog,
    private readonly metrics: IngestMetrics,
  ) {}

  /**
   * Handles one record to its end: when this resolves, every effect is stored and the offset may be.
   *
   * @throws Refusal KEY_MISSING, BAD_IMAGE_ID when not even an outcome can name the image; Failure for what is ours
   */
  async handle(record: KafkaRecord): Promise<ImageOutcome> {
    const id = custodyImageId(record.key);
    const result = await this.decide(id, record);
    const outcome = {
      ...result,
      imageId: id,
      at: new Date().toISOString(),
      source: { partition: record.partition, offset: record.offset },
    } as ImageOutcome;
    await this.publishOutcome(outcome);
    return outcome;
  }

  async publishOutcome(outcome: ImageOutcome): Promise<void> {
    await this.publisher.publish({
      topic: CUSTODY_OUTCOMES,
      key: outcome.imageId,
      value: encodeOutcome(outcome),
      headers: outcomeHeaders(outcome, INGEST_SOURCE),
    });
    const reason = 'code' in outcome ? outcome.code : '';
    this.metrics.imagesTotal.inc({ outcome: outcome.outcome, reason });
  }

  private async decide(id: ImageId, record: KafkaRecord): Promise<Result> {
    try {
      if (partitionFor(Buffer.from(id), TEMPLATE_PARTITIONS) !== record.partition) {
        throw new Refusal(
          'WRONG_PARTITION',
          'Records are keyed by imageId with the murmur2 partitioner, as the Java client does.',
        );
      }
      return record.value === null ? await this.erase(id, record) : await this.enrol(id, record, record.value);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const faces = error.details?.['faces'] as (ImageOutcome & { outcome: 'refused' })['faces'];
      return { outcome: 'refused', code: error.code, detail: error.publicText, ...(faces !== undefined && { faces }) };
    }
  }

  private async enrol(id: ImageId, record: KafkaRecord, bytes: Buffer): Promise<Result> {
    const image = parseCustodyImage(id, record.headers);
    if (isErased(this.dispositionOf(id), record.offset)) return { outcome: 'superseded', by: 'erasure' };
    const processed = await this.faces.process(bytes, image.face, { uprightJpeg: true });
    await this.stage('store', () => this.images.put(custodyImageName(id, record.offset), processed.uprightJpeg));
    const box = processed.faces[processed.chosen]!.box;
    const template = await this.stage('publish', () =>
      this.publisher.publish({
        topic: galleryTemplates(this.faces.modelId),
        key: id,
        value: encodeTemplate(processed.embedded.template),
        headers: templateHeaders(
          {
            modelId: this.faces.modelId,
            metadata: { ...metadataOf(image), faceBox: box, embeddingNorm: processed.embedded.embeddingNorm },
            source: { sourceOffset: record.offset, acceptedAtMs: record.timestampMs },
          },
          INGEST_SOURCE,
        ),
      }),
    );
    // An erasure that was decided while this image was in the pipeline: what was just stored goes as well.
    if (isErased(this.dispositionOf(id), record.offset)) {
      await this.publishTombstone(id);
      await this.images.deleteImages(id, record.offset);
      return { outcome: 'superseded', by: 'erasure' };
    }
    await this.stage('store', () => this.images.deleteOlderImages(id, record.offset));
    return {
      outcome: 'enrolled',
      modelId: this.faces.modelId,
      template,
      faceBox: box,
      facesFound: processed.faces.length,
      embeddingNorm: processed.embedded.embeddingNorm,
      warnings: processed.embedded.quality.warnings,
    };
  }

  /** The audit entry first, then the disposition: from then on nobody returns the image, whatever happens to the rest. */
  private async erase(id: ImageId, record: KafkaRecord): Promise<Result> {
    const { assertion, system } = await this.authorise(id, record);
    const { authority, reason } = assertion;
    const place = `${record.partition}/${record.offset}`;
    if (!this.auditedErasures.has(place)) {
      await this.auditErasure(id, record, system, assertion);
      this.auditedErasures.add(place);
    }
    const since = new Date(record.timestampMs).toISOString();
    const erasure: Disposition = { imageId: id, kind: 'erased', since, authority, reason, sourceOffset: record.offset };
    // Merged: one that is delivered again, or replayed, after a later one must not take the later one's bound back.
    const disposition = mergeDisposition(this.dispositionOf(id), erasure) ?? erasure;
    const position = await this.publisher.publish({
      topic: CUSTODY_DISPOSITIONS,
      key: id,
      value: encodeDisposition(disposition),
      headers: { ...dispositionHeaders(id, INGEST_SOURCE), ce_system: system },
    });
    await this.publishTombstone(id);
    await this.images.deleteImages(id, record.offset);
    this.auditedErasures.delete(place);
    return { outcome: 'erased', authority, reason, disposition: position };
  }

  private auditErasure(id: ImageId, record: KafkaRecord, system: string, assertion: ErasureAssertion): Promise<void> {
    return this.audit.append([
      {
        operation: 'erasure',
        action: 'erasure',
        actor: assertion.subject,
        role: assertion.role,
        system,
        purpose: assertion.authority,
        justification: assertion.reason,
        imageIds: [id],
        detail: { partition: record.partition, offset: record.offset },
      },
    ]);
  }

  private async publishTombstone(id: ImageId): Promise<void> {
    await this.publisher.publish({
      topic: galleryTemplates(this.faces.modelId),
      key: id,
      value: null,
      headers: templateTombstoneHeaders(id, INGEST_SOURCE),
    });
  }

  private async authorise(id: ImageId, record: KafkaRecord): Promise<{ system: string; assertion: ErasureAssertion }> {
    try {
      const { system, assertion } = await this.assertions.verify(record.headers[ASSERTION_HEADER], record.timestampMs);
      if (assertion.purpose === 'erasure' && assertion.imageId === id) return { system, assertion };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new Refusal('ERASURE_NOT_AUTHORISED', `The erasure is not authorised. ${error.publicText}`, undefined, {
        cause: error,
      });
    }
    throw new Refusal(
      'ERASURE_NOT_AUTHORISED',
      'The erasure is not authorised: its assertion is about something else.',
    );
  }

  private async stage<T>(name: string, run: () => Promise<T>): Promise<T> {
    const end = this.metrics.imageStageDurationSeconds.startTimer({ stage: name });
    try {
      return await run();
    } finally {
      end();
    }
  }
}

function metadataOf(image: CustodyImage): Omit<CustodyImage, 'lawfulBasis' | 'reviewDue' | 'face'> {
  const { lawfulBasis: _lawfulBasis, reviewDue: _reviewDue, face: _face, ...metadata } = image;
  return metadata;
}
