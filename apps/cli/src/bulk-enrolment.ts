/**
 * Sends images to `custody.images` as a custody system does, and follows each to its outcome and until it is searchable.
 */
import { custodyImageHeaders } from '#contracts/custody-image.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES, IMAGE_SIZE_BYTES_MAX } from '#contracts/topics.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { LogReader } from '#kafka/log-reader.js';
import type { Publisher } from '#kafka/publisher.js';
import type { ImageToEnrol } from './enrol-source.js';

const CLI_SOURCE = '/custody-face-search/cli';
/** Enough to keep ingest busy; few enough that a run that is cut short repeats little. */
const IN_FLIGHT_MAX = 256;
/** Sent again in lots, since a batch costs the broker about as much as a record. */
const REFILL_BELOW = 192;
const OUTCOMES_LINGER_MS = 50;
const PUBLISH_LINGER_MS = 10;

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
  /** By `partition/offset` of the image's record. An outcome may be read before its image's publish has resolved. */
  private readonly waiting = new Map<string, () => void>();
  private readonly early = new Map<string, ImageOutcome>();
  private readonly templateEnds = new Map<number, number>();
  private inFlight = 0;
  private roomMade: (() => void) | undefined;
  private failure: Error | undefined;

  constructor(
    kafka: KafkaClient,
    private readonly onOutcome: (outcome: ImageOutcome) => void,
  ) {
    this.publisher = kafka.publisher({ lingerMs: PUBLISH_LINGER_MS });
    this.reader = kafka.logReader({
      topic: CUSTODY_OUTCOMES,
      partitions: Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition),
      from: 'end',
      lingerMs: OUTCOMES_LINGER_MS,
      onBatch: ({ records }) => {
        for (const record of records) this.receive(parseOutcome(record.value));
        return Promise.resolve();
      },
      onFatal: (error) => this.fail(error),
    });
  }

  start(): Promise<void> {
    return this.reader.start();
  }

  /** Resolves when every image that was sent has its outcome. */
  async send(images: AsyncIterable<ImageToEnrol>): Promise<void> {
    const all: Promise<void>[] = [];
    for await (const image of images) {
      await this.room();
      this.inFlight++;
      const done = this.sendOne(image).finally(() => {
        this.inFlight--;
        this.roomMade?.();
      });
      done.catch((error: unknown) => this.fail(error));
      all.push(done);
      if (this.failure !== undefined) throw this.failure;
    }
    await Promise.all(all);
  }

  /** By template partition, the watermark (exclusive) at which all that was enrolled is searchable. */
  get searchableAt(): ReadonlyMap<number, number> {
    return this.templateEnds;
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  private async sendOne(item: ImageToEnrol): Promise<void> {
    const bytes = await item.read();
    this.tally.sent++;
    // Ingest would never see it: the broker takes no record of that size.
    if (bytes.length > IMAGE_SIZE_BYTES_MAX) {
      count(this.tally.refused, 'IMAGE_TOO_LARGE');
      return;
    }
    const position = await this.publisher.publish({
      topic: CUSTODY_IMAGES,
      key: item.image.imageId,
      value: bytes,
      headers: custodyImageHeaders(item.image, CLI_SOURCE, item.contentType),
    });
    const place = `${position.partition}/${position.offset}`;
    const early = this.early.get(place);
    if (early !== undefined) {
      this.early.delete(place);
      this.settle(early);
      return;
    }
    await new Promise<void>((resolve) => this.waiting.set(place, resolve));
  }

  private receive(outcome: ImageOutcome): void {
    const place = `${outcome.source.partition}/${outcome.source.offset}`;
    const resolve = this.waiting.get(place);
    if (resolve === undefined) {
      // Another sender's, or one whose publish has not been acknowledged to us yet.
      if (this.early.size < IN_FLIGHT_MAX * 4) this.early.set(place, outcome);
      return;
    }
    this.waiting.delete(place);
    this.settle(outcome);
    resolve();
  }

  private settle(outcome: ImageOutcome): void {
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
      // What becomes of nulls; only images are sent here.
      case 'erased':
      case 'restricted':
        break;
    }
    this.onOutcome(outcome);
  }

  private async room(): Promise<void> {
    if (this.inFlight < IN_FLIGHT_MAX) return;
    while (this.inFlight > REFILL_BELOW) {
      await new Promise<void>((resolve) => (this.roomMade = resolve));
      if (this.failure !== undefined) throw this.failure;
    }
  }

  private fail(error: unknown): void {
    this.failure ??= error instanceof Error ? error : new Error(String(error));
    this.roomMade?.();
  }
}

function count(counts: Map<string, number>, code: string): void {
  counts.set(code, (counts.get(code) ?? 0) + 1);
}
