/** Restores a snapshot in a process of its own, as a replica that was away does: how long that takes, and what it holds. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { diskSnapshotFs } from '#gallery/snapshot-files.js';
import type { ShardWorkerOptions } from '#gallery/shard-protocol.js';
import { ShardWork } from '#gallery/shard-work.js';
import { cpuTimed, timed } from '../measure.js';

export interface Restored {
  /** Of the restoring alone. */
  readonly cpuMs: number;
  readonly clockMs: number;
  /** As the kernel counts it. */
  readonly residentBytes: number;
  /** What JavaScript has for its objects. */
  readonly heapBytes: number;
  /** What the shard says that vectors, codes and graph take. */
  readonly nativeBytes: number;
  /** What it says that the records take beside the heap. */
  readonly entryBytes: number;
}

/** @param templates that the snapshot must hold */
export async function restoredInProcess(options: ShardWorkerOptions, templates: number): Promise<Restored> {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(options), `${templates}`], {
    execArgv: ['--expose-gc'],
  });
  const exited = once(child, 'exit');
  const answered = await Promise.race([once(child, 'message'), exited.then(() => undefined)]);
  if (answered === undefined) throw new Error('the process that restores has failed');
  child.disconnect();
  await exited;
  return answered[0] as Restored;
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  let work: ShardWork | undefined;
  let clockMs = 0;
  const cpuMs = await cpuTimed(async () => {
    clockMs = await timed(async () => {
      const started = await ShardWork.start(
        JSON.parse(process.argv[2]!) as ShardWorkerOptions,
        diskSnapshotFs,
        (error) => {
          throw error;
        },
      );
      if (started.restored.templates !== Number(process.argv[3])) throw new Error('the snapshot was not restored');
      work = started.work;
    });
  });
  // Not in a worker thread, as a replica has it, so that what the restoring has left can be collected first.
  for (let round = 0; round < 3; round++) {
    (globalThis as { gc?: () => void }).gc?.();
    await pause(300);
  }
  const { memoryBytes: nativeBytes, entryBytes } = work!.stats();
  const restored: Restored = {
    cpuMs,
    clockMs,
    residentBytes: residentOf(),
    heapBytes: process.memoryUsage().heapUsed,
    nativeBytes,
    entryBytes,
  };
  process.send(restored);
  process.once('disconnect', () => {
    void work?.close(false).then(() => process.exit(0));
  });
}

function residentOf(): number {
  return 1024 * Number(/^Rss:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))?.[1]);
}
