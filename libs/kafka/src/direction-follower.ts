/**
 * Follows `custody.directions`: read whole before the service is ready, then at once with every change. Whoever erases
 * asks it first, and asks it up to the end of the log, so that a hold that was acknowledged before is never missed.
 */
import { parseDirection } from '#contracts/direction-record.js';
import { CUSTODY_DIRECTIONS } from '#contracts/topics.js';
import { Directions, type Direction, type DirectionKind, type Hold, type Suppression } from '#domain/direction.js';
import { describeError, Failure } from '#domain/errors.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import { totalLag } from './disposition-follower.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaLog, KafkaRecord } from './kafka-record.js';
import type { LogReader } from './log-reader.js';

/** The topic's only one: one order decides. */
const PARTITION = 0;
const BEHIND_AFTER_MS = 5_000;

export interface DirectionChange {
  readonly before: Direction | undefined;
  readonly after: Direction | undefined;
}

type Listener = (changes: readonly DirectionChange[]) => void;

export class DirectionFollower {
  private readonly directions = new Directions();
  private readonly reader: LogReader;
  private readonly listeners: Listener[] = [];
  private waiting: { readonly nextOffset: Offset; readonly resolve: () => void }[] = [];
  /** Questions for the end of the log: one under way, and one that all share who ask meanwhile. */
  private asking: Promise<Offset> | undefined;
  private askingNext: Promise<Offset> | undefined;

  constructor(
    private readonly kafka: KafkaClient,
    private readonly log: KafkaLog,
    onFatal: (error: unknown) => void,
  ) {
    this.reader = kafka.logReader({
      topic: CUSTODY_DIRECTIONS,
      partitions: [PARTITION],
      from: 'beginning',
      onFatal,
      onBatch: ({ records, nextOffset }) => {
        const changes = records.flatMap((record) => this.apply(record) ?? []);
        if (changes.length > 0) for (const listener of this.listeners) listener(changes);
        this.reached(nextOffset);
        return Promise.resolve();
      },
    });
  }

  /** Resolves when everything that was in the topic at the start has been read. */
  async start(): Promise<void> {
    await this.reader.start();
    await this.reader.caughtUp();
  }

  get(id: string): Direction | undefined {
    return this.directions.get(id);
  }

  all<K extends DirectionKind>(kind: K): readonly Extract<Direction, { kind: K }>[] {
    return this.directions.all(kind);
  }

  /** @param subject undefined when it is not known: then directions about a subject count by the images they name */
  holdsOn(image: ImageId, subject: SubjectId | undefined): readonly Hold[] {
    return this.directions.holdsOn(image, subject);
  }

  suppressionOf(image: ImageId, subject: SubjectId | undefined): Suppression | undefined {
    return this.directions.suppressionOf(image, subject);
  }

  about(image: ImageId, subject: SubjectId | undefined): readonly Direction[] {
    return this.directions.about(image, subject);
  }

  aboutSubject(subject: SubjectId): readonly Direction[] {
    return this.directions.aboutSubject(subject);
  }

  subjectsOf(image: ImageId): readonly SubjectId[] {
    return this.directions.subjectsOf(image);
  }

  onChange(listener: Listener): void {
    this.listeners.push(listener);
  }

  /**
   * Resolves when everything that was in the topic at the time of the call has been read.
   *
   * @throws Failure DIRECTIONS_BEHIND, KAFKA_UNAVAILABLE (retryable)
   */
  async upToDate(withinMs = BEHIND_AFTER_MS): Promise<void> {
    await this.reflects(await this.endNow(), withinMs);
  }

  /**
   * Resolves when the log is read up to `nextOffset` (exclusive), for example past a record that was just written.
   *
   * @throws Failure DIRECTIONS_BEHIND (retryable)
   */
  async reflects(nextOffset: Offset, withinMs = BEHIND_AFTER_MS): Promise<void> {
    if (this.reader.progress(PARTITION).nextOffset >= nextOffset) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      const waiter = { nextOffset, resolve };
      timer = setTimeout(() => {
        this.waiting = this.waiting.filter((other) => other !== waiter);
        reject(new Failure('DIRECTIONS_BEHIND', 'The directions are not read to their end yet; try again.', true));
      }, withinMs);
      this.waiting.push(waiter);
    }).finally(() => clearTimeout(timer));
  }

  lagRecords(): number {
    return totalLag(this.reader);
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  /** An answer that was asked for before the call may not say what was written just before it: then the next is shared. */
  private endNow(): Promise<Offset> {
    if (this.asking === undefined) return this.ask();
    this.askingNext ??= this.asking.then(
      () => this.ask(),
      () => this.ask(),
    );
    return this.askingNext;
  }

  private ask(): Promise<Offset> {
    this.askingNext = undefined;
    const asking = this.kafka
      .topicAdmin()
      .topicOffsets(CUSTODY_DIRECTIONS)
      .then((ends) => ends.get(PARTITION)!.high)
      .finally(() => {
        if (this.asking === asking) this.asking = undefined;
      });
    this.asking = asking;
    return asking;
  }

  private reached(nextOffset: Offset): void {
    const served = this.waiting.filter((waiter) => waiter.nextOffset <= nextOffset);
    if (served.length === 0) return;
    this.waiting = this.waiting.filter((waiter) => waiter.nextOffset > nextOffset);
    // After the reader has noted that the batch is handled.
    for (const { resolve } of served) setImmediate(resolve);
  }

  private apply(record: KafkaRecord): DirectionChange | undefined {
    const id = record.key?.toString('utf8');
    if (id === undefined) return undefined;
    const before = this.directions.get(id);
    const after = record.value === null ? undefined : this.parse(record, id, before);
    if (after === undefined) this.directions.remove(id);
    else this.directions.put(after);
    return before === after ? undefined : { before, after };
  }

  /** One that cannot be read leaves what was in force under its id: a hold must not be lost by a mistake. */
  private parse(record: KafkaRecord, id: string, before: Direction | undefined): Direction | undefined {
    try {
      const direction = parseDirection(record.value!);
      if (direction.directionId === id) return direction;
      this.log.error('direction-unreadable', { offset: record.offset, error: 'its key is not its directionId' });
    } catch (error) {
      this.log.error('direction-unreadable', { offset: record.offset, error: describeError(error) });
    }
    return before;
  }
}
