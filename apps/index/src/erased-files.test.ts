import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { offset } from '#domain/ids.js';
import { ErasedFiles, type Destruction } from './erased-files.js';

const PARTITION = 0;
const SNAPSHOT_MS = 500;
const ERASURE_EVERY_MS = 300;

/** A replica whose erasures are dispositions 0, 1, 2 and so on of one partition. */
class ReplicaForTests {
  /** Both exclusive. */
  erased = 0;
  replaced = 0;
  isDiskFull = false;

  destruction(): Promise<Destruction> {
    return Promise.resolve(this.replaced === this.erased ? 'done' : 'needs-snapshot');
  }

  async replaceFiles(): Promise<boolean> {
    const { erased, isDiskFull } = this;
    await new Promise((resolve) => setTimeout(resolve, SNAPSHOT_MS));
    if (!isDiskFull) this.replaced = erased;
    return !isDiskFull;
  }
}

describe('the files that hold what is erased', () => {
  let replica: ReplicaForTests;
  let files: ErasedFiles;
  /** What was confirmed, exclusive, and what had left the files by then. */
  let confirmed: { readonly through: number; readonly replaced: number }[];
  let erasing: NodeJS.Timeout | undefined;

  beforeEach(() => {
    vi.useFakeTimers();
    replica = new ReplicaForTests();
    confirmed = [];
    files = new ErasedFiles(
      replica,
      () => new Map([[PARTITION, offset(replica.erased)]]),
      () => confirmed.push({ through: files.destroyedThrough.get(PARTITION)!, replaced: replica.replaced }),
    );
    files.start((error) => {
      throw error;
    });
  });

  afterEach(async () => {
    clearInterval(erasing);
    await files.close();
    vi.useRealTimers();
  });

  function eraseSteadily(): void {
    erasing = setInterval(() => replica.erased++, ERASURE_EVERY_MS);
  }

  it('are confirmed to be replaced while erasures keep coming', async () => {
    eraseSteadily();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(confirmed.length).toBeGreaterThan(10);
    // 2 s to gather, the snapshot, and the rest before the next one.
    const lateMs = (replica.erased - confirmed.at(-1)!.through) * ERASURE_EVERY_MS;
    expect(lateMs).toBeLessThan(5_000);
  });

  it('are never confirmed for an erasure that came while they were written', async () => {
    eraseSteadily();
    await vi.advanceTimersByTimeAsync(60_000);
    for (const { through, replaced } of confirmed) expect(through).toBeLessThanOrEqual(replaced);
  });

  it('are confirmed whole when no more erasures come', async () => {
    eraseSteadily();
    await vi.advanceTimersByTimeAsync(3_000);
    clearInterval(erasing);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(files.destroyedThrough.get(PARTITION)).toBe(replica.erased);
  });

  it('are not confirmed while they cannot be written', async () => {
    replica.isDiskFull = true;
    replica.erased = 1;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(files.destroyedThrough.get(PARTITION) ?? 0).toBe(0);
    replica.isDiskFull = false;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(files.destroyedThrough.get(PARTITION)).toBe(1);
  });
});
