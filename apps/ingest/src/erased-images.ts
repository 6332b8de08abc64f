/**
 * Empties the image store of what is erased, whoever wrote it and whenever: a process that was paused while an image was
 * erased wakes, stores the photograph, and only then reads of the erasure. Told of every disposition, at the first
 * reading of them all too, so that what a process left behind when it died goes at the next start.
 *
 * Nobody waits for it: an erasure empties the store itself before it is confirmed. So an object that cannot be deleted
 * keeps neither a start nor the dispositions behind it; it is tried again for as long as the process runs.
 */
import { dispositionRecord } from '#contracts/disposition-record.js';
import { erasedThrough } from '#domain/disposition.js';
import { describeError } from '#domain/errors.js';
import type { ImageId } from '#domain/ids.js';
import { backoffMs, pause } from '#kafka/backoff.js';
import type { DispositionChange } from '#kafka/disposition-follower.js';
import type { Publisher } from '#kafka/publisher.js';
import type { ImageStore } from '#platform/image-store.js';
import type { Log } from '#platform/log.js';
import { INGEST_SOURCE } from './image-erasure.js';

/** A start asks the store about every image that was ever erased. */
const AT_ONCE = 4;

export class ErasedImages {
  private readonly stopping = new AbortController();
  /** The last of each image, which says all that those before it did. */
  private readonly waiting = new Map<ImageId, DispositionChange>();
  private working: Promise<void> = Promise.resolve();
  private isWorking = false;

  constructor(
    private readonly images: Pick<ImageStore, 'deleteImages'>,
    private readonly publisher: Pick<Publisher, 'publish'>,
    private readonly log: Pick<Log, 'warn' | 'error'>,
  ) {}

  apply(changes: readonly DispositionChange[]): void {
    for (const change of changes) {
      const { imageId, disposition, outlivesRecord } = change;
      if (disposition === null) this.waiting.delete(imageId);
      else if (erasedThrough(disposition) !== undefined || outlivesRecord) this.waiting.set(imageId, change);
    }
    if (this.isWorking || this.stopping.signal.aborted) return;
    this.working = this.work();
  }

  /** What is not done by now is done at the next start, which reads every disposition. */
  close(): Promise<void> {
    this.stopping.abort();
    return this.working;
  }

  private async work(): Promise<void> {
    const { signal } = this.stopping;
    this.isWorking = true;
    for (let attempt = 1; this.waiting.size > 0 && !signal.aborted; attempt++) {
      const changes = this.waiting.values();
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.workThrough(changes, attempt)));
      if (this.waiting.size > 0) await pause(backoffMs(attempt), signal);
    }
    this.isWorking = false;
  }

  /** @param changes shared with those who work beside it */
  private async workThrough(changes: MapIterator<DispositionChange>, attempt: number): Promise<void> {
    for (const change of changes) {
      if (this.stopping.signal.aborted) return;
      try {
        await this.applyOne(change);
        if (this.waiting.get(change.imageId) === change) this.waiting.delete(change.imageId);
      } catch (error) {
        this.log.error('erased-image-not-deleted', { attempt, error: describeError(error) });
      }
    }
  }

  private async applyOne({ imageId, disposition, outlivesRecord, lifted }: DispositionChange): Promise<void> {
    if (disposition === null) return;
    const through = erasedThrough(disposition);
    if (through !== undefined) await this.images.deleteImages(imageId, through);
    if (!outlivesRecord) return;
    this.log.warn('disposition-weakened', { action: 'the one in force put back' });
    const said = lifted === undefined ? disposition : { ...disposition, lifts: lifted };
    await this.publisher.publish(dispositionRecord(imageId, said, INGEST_SOURCE));
  }
}
