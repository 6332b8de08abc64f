/**
 * Sends images to `custody.images` as a custody system does, and follows each to its outcome and until it is searchable.
 *
 * Only so many are without their outcome at a time, and only so many bytes without their acknowledgement: a run is never
 * faster than ingest, and holds as little memory for a million images as for a hundred.
 */
import { custodyImageHeaders } from '#contracts/custody-image.js';
import type { Headers } from '#contracts/cloud-events.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES, IMAGE_SIZE_BYTES_MAX } from '#contracts/topics.js';
import { Failure, Refusal, type CodedError } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { RecordPosition } from '#kafka/kafka-record.js';
import type { LogReader } from '#kafka/log-reader.js';
import type { Publisher } from '#kafka/publisher.js';
import type { ImageToEnrol } from './enrol-source.js';

const CLI_SOURCE = '/custody-face-search/cli';
/** Enough to keep ingest busy; few enough that a run that is cut short repeats little. */
const IN_FLIGHT_MAX = 256;
/** Sent again in lots, since a batch costs the broker about as much as a record. */
const REFILL_BELOW = 192;
/** What the broker has not acknowledged yet: four of the largest images, or hundreds of ordinary ones. */
const UNWRITTEN_BYTES_MAX = 4 * IMAGE_SIZE_BYTES_MAX;
const OUTCOMES_LINGER_MS = 50;
const PUBLISH_LINGER_MS = 10;

/** A record for `custody.images`. */
export interface RecordToSend {
  /** What its sender knows it by. */
  readonly key: string;
  readonly imageId: ImageId;
  readonly headers: Headers;
  /** null asks for the image's erasure. */
  readonly read: () => Promise<Buffer | null>;
}

/** What became of a record: as ingest has said, or as it was found here when it could not be sent. */
export interface RecordAnswer {
  readonly imageId: ImageId;
  readonly outcome: ImageOutcome['outcome'];
  readonly code?: string;
  readonly detail?: string;
}

/** A record that an earlier run has sent, and of which it has not seen the outcome. */
export type AwaitedRecord = Pick<RecordToSend, 'key' | 'imageId'> & RecordPosition;

export interface BulkEnrolmentOptions {
  /** It is in the log, and has no outcome yet. */
  readonly onSent?: (record: RecordToSend, position: RecordPosition) => void;
  readonly awaited?: readonly AwaitedRecord[];
  /** Where on `custody.outcomes` to look for theirs (inclusive); from now on when it is left out. */
  readonly outcomesFrom?: ReadonlyMap<number, Offset>;
  /** Everything below it on `custody.outcomes` was answered. @param nextOffset exclusive */
  readonly onOutcomesRead?: (partition: number, nextOffset: Offset) => void;
  /** An awaited record that is in the log no longer, and has no outcome there: it is to be sent again. */
  readonly onLost?: (record: AwaitedRecord) => void;
}

export interface EnrolmentTally {
  sent: number;
  enrolled: number;
  superseded: number;
  /** By code. */
  readonly refused: Map<string, number>;
  readonly failed: Map<string, number>;
  /** Of those that were enrolled, by what is to be done better. */
  readonly advice: Map<string, number>;
}

interface Waiting {
  readonly record: Pick<RecordToSend, 'key' | 'imageId'>;
  readonly position: RecordPosition;
}

export class BulkEnrolment {
  readonly tally: EnrolmentTally = {
    sent: 0,
    enrolled: 0,
    superseded: 0,
    refused: new Map(),
    failed: new Map(),
    advice: new Map(),
  };
  private readonly publisher: Publisher;
  private readonly reader: LogReader;
  /** By `partition/offset` of the image's record. */
  private readonly waiting = new Map<string, Waiting>();
  /** How many records of an image are on their way to the log: their outcomes may be read before the acknowledgement. */
  private readonly publishing = new Map<ImageId, number>();
  private readonly early = new Map<string, ImageOutcome>();
  private readonly templateEnds = new Map<number, number>();
  private inFlight = 0;
  private changed: (() => void) | undefined;
  private failure: Error | undefined;

  constructor(
    private readonly kafka: KafkaClient,
    private readonly onAnswer: (answer: RecordAnswer, record: Pick<RecordToSend, 'key' | 'imageId'>) => void,
    private readonly options: BulkEnrolmentOptions = {},
  ) {
    this.publisher = kafka.publisher({ lingerMs: PUBLISH_LINGER_MS });
    for (const record of options.awaited ?? []) {
      this.waiting.set(placeOf(record), { record, position: record });
      this.inFlight++;
    }
    this.reader = kafka.logReader({
      topic: CUSTODY_OUTCOMES,
      partitions: Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition),
      from: options.outcomesFrom ?? 'end',
      onOutOfRange: (_partition, requested, low, high) => (requested < low ? low : high),
      lingerMs: OUTCOMES_LINGER_MS,
      onBatch: ({ partition, records, nextOffset }) => {
        for (const record of records) this.receive(parseOutcome(record.value));
        options.onOutcomesRead?.(partition, nextOffset);
        return Promise.resolve();
      },
      onFatal: (error) => this.fail(error),
    });
  }

  /** Resolves when no outcome of what is sent from now on can be missed, and those that were there already are known. */
  async start(): Promise<void> {
    await this.reader.start();
    for (const [partition, nextOffset] of this.reader.nextOffsets())
      this.options.onOutcomesRead?.(partition, nextOffset);
    if (this.waiting.size === 0) return;
    await this.reader.caughtUp();
    await this.letGoOfLost();
  }

  /** Resolves when every image that was sent has its outcome. */
  async send(images: AsyncIterable<ImageToEnrol>): Promise<void> {
    for await (const image of images) await this.submit(recordOf(image));
    await this.settled();
  }

  /**
   * Resolves when the record is on its way and there is room for the next: one at a time. In the log, records are in the
   * order in which they were submitted.
   *
   * @throws whatever ended the run
   */
  async submit(record: RecordToSend): Promise<void> {
    if (this.inFlight >= IN_FLIGHT_MAX) await this.until(() => this.inFlight <= REFILL_BELOW);
    if (this.failure !== undefined) throw this.failure;
    let bytes: Buffer | null;
    try {
      bytes = await record.read();
    } catch (cause) {
      const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown';
      this.answerUnsent(
        record,
        new Failure('FILE_UNREADABLE', `The file cannot be read (${reason}).`, true, { cause }),
      );
      return;
    }
    // Ingest would never see it: the broker takes no record of that size.
    const length = bytes?.length ?? 0;
    if (length > IMAGE_SIZE_BYTES_MAX) {
      this.tally.sent++;
      this.answerUnsent(
        record,
        new Refusal('IMAGE_TOO_LARGE', `The image has more than ${IMAGE_SIZE_BYTES_MAX} bytes.`),
      );
      return;
    }
    await this.until(() => this.publisher.pendingBytes + length <= UNWRITTEN_BYTES_MAX);
    this.tally.sent++;
    this.inFlight++;
    this.publish(record, bytes).catch((error: unknown) => this.fail(error));
  }

  /** Resolves when everything that was submitted, or is awaited, has its outcome. @throws whatever ended the run */
  settled(): Promise<void> {
    return this.until(() => this.inFlight === 0);
  }

  /** By template partition, the watermark (exclusive) at which all that was enrolled is searchable. */
  get searchableAt(): ReadonlyMap<number, number> {
    return this.templateEnds;
  }

  async close(): Promise<void> {
    await this.reader.close();
    await this.publisher.close();
  }

  private async publish(record: RecordToSend, bytes: Buffer | null): Promise<void> {
    const { imageId } = record;
    this.publishing.set(imageId, (this.publishing.get(imageId) ?? 0) + 1);
    let position: RecordPosition;
    try {
      position = await this.publisher.publish({
        topic: CUSTODY_IMAGES,
        key: imageId,
        value: bytes,
        headers: record.headers,
      });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.leave();
      this.answerUnsent(record, error);
      return;
    } finally {
      const others = this.publishing.get(imageId)! - 1;
      if (others > 0) this.publishing.set(imageId, others);
      else this.publishing.delete(imageId);
    }
    const place = placeOf(position);
    const early = this.early.get(place);
    // Of its neighbours in the log, some are another sender's; none of this image is on its way any more.
    for (const [other, outcome] of this.early) if (!this.publishing.has(outcome.imageId)) this.early.delete(other);
    if (early !== undefined) {
      this.early.delete(place);
      this.settle(early, record);
      return;
    }
    this.waiting.set(place, { record, position });
    this.options.onSent?.(record, position);
    this.announce();
  }

  private receive(outcome: ImageOutcome): void {
    const place = placeOf(outcome.source);
    const waiting = this.waiting.get(place);
    if (waiting === undefined) {
      // Another sender's, or one whose publish has not been acknowledged to us yet.
      if (this.publishing.has(outcome.imageId)) this.early.set(place, outcome);
      return;
    }
    this.waiting.delete(place);
    this.settle(outcome, waiting.record);
  }

  private settle(outcome: ImageOutcome, record: Pick<RecordToSend, 'key' | 'imageId'>): void {
    switch (outcome.outcome) {
      case 'enrolled': {
        this.tally.enrolled++;
        for (const advice of outcome.advice ?? []) count(this.tally.advice, advice);
        const { partition, offset } = outcome.template;
        this.templateEnds.set(partition, Math.max(this.templateEnds.get(partition) ?? 0, offset + 1));
        break;
      }
      case 'superseded':
        this.tally.superseded++;
        break;
      case 'refused':
        count(this.tally.refused, outcome.code);
        break;
      case 'failed':
        count(this.tally.failed, outcome.code);
        break;
      // What becomes of nulls.
      case 'erased':
      case 'restricted':
        break;
    }
    this.onAnswer(outcome, record);
    this.leave();
  }

  private answerUnsent(record: RecordToSend, error: CodedError): void {
    const { code, publicText: detail } = error;
    const outcome = error.retryable ? 'failed' : 'refused';
    count(this.tally[outcome], code);
    this.onAnswer({ imageId: record.imageId, outcome, code, detail }, record);
  }

  /** Compacted away, or at the end of the topic's retention, before their outcomes were seen. */
  private async letGoOfLost(): Promise<void> {
    const lookup = this.kafka.recordLookup();
    try {
      for (const [place, { record, position }] of [...this.waiting]) {
        if (await lookup.exists(CUSTODY_IMAGES, position.partition, position.offset)) continue;
        // Its outcome may have come while it was looked for.
        if (!this.waiting.delete(place)) continue;
        this.options.onLost?.({ ...record, ...position });
        this.leave();
      }
    } finally {
      await lookup.close();
    }
  }

  private async until(condition: () => boolean): Promise<void> {
    while (this.failure === undefined && !condition()) await new Promise<void>((resolve) => (this.changed = resolve));
    if (this.failure !== undefined) throw this.failure;
  }

  private leave(): void {
    this.inFlight--;
    this.announce();
  }

  private announce(): void {
    this.changed?.();
  }

  private fail(error: unknown): void {
    this.failure ??= error instanceof Error ? error : new Error(String(error));
    this.announce();
  }
}

export function recordOf({ image, contentType, read }: ImageToEnrol): RecordToSend {
  const { imageId } = image;
  return { key: imageId, imageId, headers: custodyImageHeaders(image, CLI_SOURCE, contentType), read };
}

function placeOf({ partition, offset }: RecordPosition): string {
  return `${partition}/${offset}`;
}

function count(counts: Map<string, number>, code: string): void {
  counts.set(code, (counts.get(code) ?? 0) + 1);
}
