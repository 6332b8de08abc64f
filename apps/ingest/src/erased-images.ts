/**
 * Empties the image store of what is erased, whoever wrote it and whenever: a process that was paused while an image was
 * erased wakes, stores the photograph, and only then reads of the erasure. Told of every disposition, at the first
 * reading of them all too, so that what a process left behind when it died goes at the next start.
 */
import { dispositionRecord } from '#contracts/disposition-record.js';
import { erasedThrough } from '#domain/disposition.js';
import { describeError } from '#domain/errors.js';
import { backoffMs, pause } from '#kafka/backoff.js';
import type { DispositionChange } from '#kafka/disposition-follower.js';
import type { Publisher } from '#kafka/publisher.js';
import type { ImageStore } from '#platform/image-store.js';
import type { Log } from '#platform/log.js';
import { INGEST_SOURCE } from './image-erasure.js';

export class ErasedImages {
  private readonly stopping = new AbortController();

  constructor(
    private readonly images: ImageStore,
    private readonly publisher: Publisher,
    private readonly log: Pick<Log, 'warn' | 'error'>,
  ) {}

  /** Resolves when the store holds nothing of what the changes erase; waits as long as that takes, or until the close. */
  async apply(changes: readonly DispositionChange[]): Promise<void> {
    for (const change of changes) {
      for (let attempt = 1; !this.stopping.signal.aborted; attempt++) {
        try {
          await this.applyOne(change);
          break;
        } catch (error) {
          this.log.error('erased-image-not-deleted', { attempt, error: describeError(error) });
          await pause(backoffMs(attempt), this.stopping.signal);
        }
      }
    }
  }

  /** What is not done by now is done at the next start, which reads every disposition. */
  close(): void {
    this.stopping.abort();
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
