import type { Offset } from '#domain/ids.js';

interface LogEnd {
  /** Exclusive. */
  readonly offset: Offset;
  /** When the broker said so, milliseconds since 1970. */
  readonly atMs: number;
}

/**
 * Since when the reader of one partition may lack what the log has. Measured by the broker's answers and the reader's
 * own clock: the timestamps in records are their producers'.
 *
 * Two ends are remembered, however many answers come: the latest, and one that handling has yet to reach. Under a
 * steady stream the latest end is never reached, so each end that was reached says as of when everything was handled;
 * the true age is overstated by at most the time between two such ends.
 */
export class LogFreshness {
  private target: LogEnd;
  private latest: LogEnd;
  private wholeAtMs: number;

  /** @param nextOffset inclusive: where the reading begins */
  constructor(
    private nextOffset: Offset,
    end: Offset,
    nowMs: number,
  ) {
    this.latest = { offset: end, atMs: nowMs };
    this.target = this.latest;
    this.wholeAtMs = nowMs;
  }

  /** The broker has answered. @param end exclusive */
  sawEnd(end: Offset, nowMs: number): void {
    this.latest = { offset: end, atMs: nowMs };
    this.settle();
  }

  /** @param nextOffset exclusive: everything below it has been handled */
  handledTo(nextOffset: Offset): void {
    this.nextOffset = nextOffset;
    this.settle();
  }

  /** Everything that was in the log at this time has been handled; undefined when all that is known of has been. */
  get behindSinceMs(): number | undefined {
    return this.nextOffset >= this.latest.offset ? undefined : this.wholeAtMs;
  }

  private settle(): void {
    if (this.nextOffset < this.target.offset) return;
    this.wholeAtMs = this.target.atMs;
    this.target = this.latest;
    if (this.nextOffset >= this.target.offset) this.wholeAtMs = this.target.atMs;
  }
}
