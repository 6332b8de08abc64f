/**
 * Follows an erasure to its end in this replica: the template is overwritten in memory by the shard itself, and then every
 * file that may hold it is replaced by a fresh snapshot, soon and not at the next turn of the timer. Says how far that is
 * done, by the places of the dispositions, so that one figure a partition confirms any number of erasures.
 *
 * While erasures keep coming, there is never a moment at which nothing is left to be done. So a replacement confirms what
 * had been handed on before it was asked for. A disposition counts as handed on when every worker has acknowledged it: by
 * then it has hidden the template and queued its destruction. The snapshot stands behind that in the worker's one queue,
 * so it finds the template destroyed, and when it is written, every file from before it is gone.
 */
import type { Offset } from '#domain/ids.js';
import { pause } from '#kafka/backoff.js';

/** Erasures that come together share a snapshot. */
const GATHER_MS = 2_000;
/** A snapshot of a large shard takes its time: at most a third of all time is spent on replacing files. */
const REST_PER_SNAPSHOT = 2;
/** Also how soon it is known that nothing was to be done, and after a failure it is tried again. */
const LOOK_AGAIN_MS = 1_000;
const UNDER_WAY_MS = 100;
const FAILED_MS = 5_000;

/** Of the replica's workers, what the slowest says. */
export type Destruction = 'done' | 'under-way' | 'needs-snapshot';

interface ErasingReplica {
  destruction(): Promise<Destruction>;
  /**
   * Snapshots of the workers that are not done with what is erased, each behind what was asked of it before.
   *
   * @returns whether all were written
   */
  replaceFiles(): Promise<boolean>;
}

export class ErasedFiles {
  private through: ReadonlyMap<number, Offset> = new Map();
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;

  constructor(
    private readonly replica: ErasingReplica,
    /** By partition of the dispositions, exclusive: what every record below it says has reached the workers. */
    private readonly handedOn: () => ReadonlyMap<number, Offset>,
    private readonly onAdvance: () => void,
  ) {}

  /** By partition of the dispositions, exclusive: every erasure below it is destroyed in memory and in every file. */
  get destroyedThrough(): ReadonlyMap<number, Offset> {
    return this.through;
  }

  /** From when the dispositions were read whole. */
  start(onFatal: (error: unknown) => void): void {
    this.running = this.run().catch((error: unknown) => {
      // Workers that are being closed answer nothing any more.
      if (!this.stopping.signal.aborted) onFatal(error);
    });
  }

  async close(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      // Asked first: what is handed on after it is not vouched for by the answer.
      const handedOn = this.handedOn();
      const destruction = await this.replica.destruction();
      if (destruction === 'done') {
        this.advance(handedOn);
        await pause(LOOK_AGAIN_MS, signal);
      } else if (destruction === 'under-way') {
        await pause(UNDER_WAY_MS, signal);
      } else {
        await this.replace(signal);
      }
    }
  }

  private async replace(signal: AbortSignal): Promise<void> {
    await pause(GATHER_MS, signal);
    if (signal.aborted) return;
    // Asked first: what is handed on while the files are written may be in them.
    const handedOn = this.handedOn();
    const startMs = performance.now();
    const written = await this.replica.replaceFiles();
    const tookMs = performance.now() - startMs;
    if (!written) return pause(FAILED_MS, signal);
    this.advance(handedOn);
    // What it has replaced is known at once; the rest is before the next one.
    if ((await this.replica.destruction()) !== 'done') await pause(tookMs * REST_PER_SNAPSHOT, signal);
  }

  private advance(handedOn: ReadonlyMap<number, Offset>): void {
    const isFurther = [...handedOn].some(([partition, next]) => next > (this.through.get(partition) ?? 0));
    if (!isFurther) return;
    this.through = handedOn;
    this.onAdvance();
  }
}
