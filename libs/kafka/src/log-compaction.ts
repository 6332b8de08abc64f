/**
 * Makes sure that compaction has taken what is to go from a partition, and finds out that it has.
 *
 * The broker compacts closed segments only, and closes one when a record is written to it after `segment.ms`. So markers
 * are appended for as long as something is to go. The first two of them are the proof: they share a key, so that the
 * cleaner takes the first when it has seen the second. It works through a partition from its start and remembers how far
 * it came, so by then it has also seen every record before the first marker, the tombstones among them, and has taken
 * what those supersede: in that pass, or in one before it. One lookup a partition proves any number of erasures.
 *
 * What is asked is the partition's leader. Followers compact their copies by the same settings, on their own.
 */
import { logMarker } from '#contracts/log-marker.js';
import type { Offset } from '#domain/ids.js';
import type { Publisher } from './publisher.js';
import type { RecordLookup } from './record-lookup.js';

/** After `segment.ms` by the broker's clock, as well. */
const ROLL_MARGIN_MS = 500;
const PUBLISH_DEADLINE_MS = 10_000;

/** One proof that is waited for. */
interface Watched {
  readonly topic: string;
  readonly partition: number;
  rollAtMs: number;
  /** What a lookup has last found. */
  compactedThrough: Offset;
}

export class LogCompaction {
  private readonly watched = new Map<string, Watched>();

  constructor(
    private readonly publisher: Publisher,
    private readonly lookup: Pick<RecordLookup, 'exists'>,
    /** The topic's `segment.ms`. */
    private readonly segmentMsOf: (topic: string) => number,
    private readonly source: string,
  ) {}

  /**
   * Appends the markers that prove what is before them. @returns the first one's offset, inclusive
   * @throws Failure KAFKA_UNAVAILABLE and what else a publisher throws
   */
  async mark(topic: string, partition: number): Promise<Offset> {
    const marker = logMarker(topic, partition, this.source);
    // One batch: nothing comes between them, and no segment ends there.
    const [first] = await this.publisher.publishAll([marker, marker], PUBLISH_DEADLINE_MS);
    this.watch(topic, partition);
    return first!.offset;
  }

  /**
   * Whether everything that was superseded before the marker is gone. Appends another marker when it is time to.
   *
   * @param marker what {@link mark} returned, in this process or in another
   * @throws Failure KAFKA_UNAVAILABLE and what else a publisher throws
   */
  async isCompacted(topic: string, partition: number, marker: Offset): Promise<boolean> {
    const watched = this.watch(topic, partition);
    if (marker < watched.compactedThrough) return true;
    if (!(await this.lookup.exists(topic, partition, marker))) {
      watched.compactedThrough = (marker + 1) as Offset;
      return true;
    }
    if (Date.now() >= watched.rollAtMs) {
      await this.publisher.publish(logMarker(topic, partition, this.source), PUBLISH_DEADLINE_MS);
      watched.rollAtMs = this.nextRollAtMs(topic);
    }
    return false;
  }

  private watch(topic: string, partition: number): Watched {
    const key = `${topic}/${partition}`;
    const known = this.watched.get(key);
    if (known !== undefined) return known;
    const rollAtMs = this.nextRollAtMs(topic);
    const watched = { topic, partition, rollAtMs, compactedThrough: 0 as Offset };
    this.watched.set(key, watched);
    return watched;
  }

  private nextRollAtMs(topic: string): number {
    return Date.now() + this.segmentMsOf(topic) + ROLL_MARGIN_MS;
  }
}
