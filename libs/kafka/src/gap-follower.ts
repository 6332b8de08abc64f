/** Follows `gallery.gaps`: which images the gallery of each model lacks. Read whole at the start, then with every change. */
import { parseGap, parseGapKey } from '#contracts/gap-record.js';
import { GALLERY_GAPS } from '#contracts/topics.js';
import { describeError } from '#domain/errors.js';
import type { GenerationGap } from '#domain/generation-gap.js';
import type { ImageId, ModelId } from '#domain/ids.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaLog, KafkaRecord } from './kafka-record.js';
import type { LogReader } from './log-reader.js';

/** The topic's only one. */
const PARTITION = 0;
const LINGER_MS = 50;
const NONE: ReadonlyMap<ImageId, GenerationGap> = new Map();

export class GapFollower {
  private readonly gaps = new Map<ModelId, Map<ImageId, GenerationGap>>();
  private readonly reader: LogReader;

  constructor(
    kafka: KafkaClient,
    private readonly log: KafkaLog,
    onFatal: (error: unknown) => void,
  ) {
    this.reader = kafka.logReader({
      topic: GALLERY_GAPS,
      partitions: [PARTITION],
      from: 'beginning',
      lingerMs: LINGER_MS,
      onFatal,
      onBatch: ({ records }) => {
        for (const record of records) this.apply(record);
        return Promise.resolve();
      },
    });
  }

  /** Resolves when everything that was in the topic at the start has been read. */
  async start(): Promise<void> {
    await this.reader.start();
    await this.reader.caughtUp();
  }

  /** What the gallery of the model lacks, by image. */
  of(model: ModelId): ReadonlyMap<ImageId, GenerationGap> {
    return this.gaps.get(model) ?? NONE;
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  private apply(record: KafkaRecord): void {
    const named = parseGapKey(record.key?.toString('utf8') ?? '');
    if (named === undefined) return;
    const { modelId, imageId } = named;
    const ofModel = this.gaps.get(modelId) ?? new Map<ImageId, GenerationGap>();
    this.gaps.set(modelId, ofModel);
    if (record.value === null) {
      ofModel.delete(imageId);
      return;
    }
    try {
      ofModel.set(imageId, parseGap(record.value));
    } catch (error) {
      this.log.error('gap-unreadable', { offset: record.offset, error: describeError(error) });
    }
  }
}
