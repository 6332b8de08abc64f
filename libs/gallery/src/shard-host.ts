/**
 * A shard as the rest of the process sees it: the handle of a worker thread that owns the vectors and both engines.
 *
 * The thread is asked to exit and never terminated, because ending it under native code aborts the process. When it
 * dies by itself, every open call fails with SHARD_WORKER_DIED and {@link ShardHost.onExit} is told.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Failure } from '#domain/errors.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { HeldTemplate } from './gallery-contents.js';
import { MessageBundle } from './message-bundle.js';
import {
  packChanges,
  unpackError,
  type CallName,
  type HostMessage,
  type DispositionItem,
  type PartitionAdvance,
  type RestoredState,
  type ShardCalls,
  type ShardReport,
  type ShardStats,
  type ShardWorkerOptions,
  type SnapshotOccasion,
  type SnapshotReport,
  type WorkerAnswer,
  type WorkerMessage,
  type WorkerQuery,
} from './shard-protocol.js';
import type { ApplyResult, TemplateChange } from './template-change.js';

export type {
  ShardReport,
  ShardStats,
  ShardWorkerOptions,
  SnapshotReport,
  WorkerAnswer,
  WorkerQuery,
} from './shard-protocol.js';

interface OpenCall {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

export class ShardHost {
  readonly #calls: MessageBundle<HostMessage>;
  readonly #open = new Map<number, OpenCall>();
  readonly #exitCallbacks: ((error: Failure) => void)[] = [];
  readonly #exited = Promise.withResolvers<void>();
  #lastId = 0;
  #closing = false;
  #death: Failure | undefined;

  private constructor(
    worker: Worker,
    readonly restored: RestoredState,
  ) {
    let thrown: unknown;
    this.#calls = new MessageBundle((messages, transfers) => worker.postMessage(messages, transfers));
    worker.on('message', (messages: readonly WorkerMessage[]) => {
      for (const message of messages) this.#settle(message);
    });
    worker.on('error', (error: unknown) => {
      thrown = error;
    });
    worker.on('exit', () => this.#onWorkerExit(thrown));
  }

  /**
   * Loads the newest good snapshot; the shard is empty when there is none. Dispositions are not in it: set them before
   * the first search.
   *
   * @throws Failure SHARD_NOT_STARTED, KERNEL_NOT_BUILT
   */
  static async start(options: ShardWorkerOptions): Promise<ShardHost> {
    const { path, execArgv } = workerEntry();
    const worker = new Worker(path, { workerData: options, name: `shard-${options.layout.shard}`, execArgv });
    const started = Promise.withResolvers<RestoredState>();
    const onExit = (): void => started.reject(new Error('the worker exited'));
    worker.once('error', started.reject);
    worker.once('exit', onExit);
    worker.once('message', ([message]: readonly [WorkerMessage]) => {
      if (message.kind === 'started') started.resolve(message.restored);
      else if (message.kind === 'not-started') started.reject(unpackError(message.error));
    });
    try {
      const restored = await started.promise;
      worker.off('error', started.reject).off('exit', onExit);
      return new ShardHost(worker, restored);
    } catch (cause) {
      if (cause instanceof Failure) throw cause;
      throw new Failure('SHARD_NOT_STARTED', 'The shard could not be started.', true, { cause });
    }
  }

  /** Starts empty; dispositions stay. @param reason a code in capitals, by which the snapshots are set aside */
  async discardState(reason: string): Promise<void> {
    await this.#call('discardState', reason);
  }

  /**
   * Resolves when all of it can be searched. Batches are taken in the order of the calls; searches go on in between.
   *
   * @param advance where to go on reading, past what compaction removed; applied after the changes
   */
  apply(changes: readonly TemplateChange[], advance: readonly PartitionAdvance[]): Promise<ApplyResult> {
    const packed = packChanges(changes);
    return this.#call('apply', { ...packed, advance: [...advance] }, [packed.vectors]);
  }

  /**
   * Resolves when what they forbid is unsearchable, whatever else the shard is doing. What they erase is destroyed
   * before anything that is asked for afterwards is done: {@link settled} or {@link snapshot} says when.
   */
  async setDispositions(items: readonly DispositionItem[]): Promise<void> {
    await this.#call('setDispositions', [...items]);
  }

  /** @throws Refusal TEMPLATE_NOT_USABLE, BAD_SUBJECT_COUNT, BAD_FILTER; Failure QUERY_EXPIRED */
  search(query: WorkerQuery): Promise<WorkerAnswer> {
    // A copy: a view of a larger buffer would be sent with all of that buffer.
    return this.#call('search', { ...query, probe: query.probe?.slice() });
  }

  /**
   * Writes what is in the shard when all calls before this one are done. Skipped when nothing changed since the last.
   * When templates were destroyed since, every older snapshot is removed with it.
   *
   * @param handledTo by partition, exclusive: where whoever reads the log has done all that follows from a record. The
   *   snapshot's offsets go no further, so that what was applied and not yet followed up is read again. A partition
   *   that is not named counts as far as it was applied.
   * @throws Failure SNAPSHOT_NO_SPACE, SNAPSHOT_NOT_WRITTEN, SNAPSHOT_OLD_NOT_REMOVED
   */
  snapshot(
    handledTo: ReadonlyMap<number, Offset> = new Map(),
    occasion: SnapshotOccasion = 'always',
  ): Promise<SnapshotReport> {
    return this.#call('snapshot', { handledTo, occasion });
  }

  stats(): Promise<ShardStats> {
    return this.#call('stats', undefined);
  }

  /** Answered at once, whatever the shard is doing. */
  report(): Promise<ShardReport> {
    return this.#call('report', undefined);
  }

  /** Those of the images that are held, with all that their record on the log needs. */
  republishable(imageIds: readonly ImageId[]): Promise<HeldTemplate[]> {
    return this.#call('republishable', [...imageIds]);
  }

  /** Equal for two replicas that hold the same, see GalleryShard.digest. Takes 3 ms for each 1,000 templates. */
  digest(): Promise<string> {
    return this.#call('digest', undefined);
  }

  /** Resolves when all that was asked for before is done, destroying what is erased included. */
  async settled(): Promise<void> {
    await this.#call('settled', undefined);
  }

  /** Finishes what was asked for and lets the thread exit. @throws Failure of the snapshot, after the exit */
  async close({ snapshot }: { readonly snapshot: boolean }): Promise<void> {
    if (this.#death !== undefined) return;
    const closed = this.#call('close', { snapshot });
    this.#closing = true;
    try {
      await closed;
    } finally {
      await this.#exited.promise;
    }
  }

  /** Called once if the worker dies without being asked to. */
  onExit(callback: (error: Failure) => void): void {
    this.#exitCallbacks.push(callback);
    if (this.#death !== undefined && !this.#closing) callback(this.#death);
  }

  #call<Name extends CallName>(
    call: Name,
    request: ShardCalls[Name]['request'],
    transfer: ArrayBuffer[] = [],
  ): Promise<ShardCalls[Name]['response']> {
    if (this.#death !== undefined) return Promise.reject(this.#death);
    if (this.#closing) return Promise.reject(new Failure('SHARD_CLOSED', 'The shard is shutting down.', true));
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#open.set(id, { resolve, reject });
    this.#calls.send({ id, call, request } as HostMessage, transfer);
    return promise as Promise<ShardCalls[Name]['response']>;
  }

  #settle(message: WorkerMessage): void {
    if (message.kind !== 'done' && message.kind !== 'error') return;
    const call = this.#open.get(message.id);
    this.#open.delete(message.id);
    if (message.kind === 'done') call?.resolve(message.value);
    else call?.reject(unpackError(message.error));
  }

  #onWorkerExit(thrown: unknown): void {
    this.#death = new Failure('SHARD_WORKER_DIED', 'A part of the gallery is not available.', true, { cause: thrown });
    for (const call of this.#open.values()) call.reject(this.#death);
    this.#open.clear();
    this.#exited.resolve();
    if (!this.#closing) for (const callback of this.#exitCallbacks) callback(this.#death);
  }
}

/** Threads run JavaScript: from the TypeScript sources, tests use what was built of them. */
function workerEntry(): { path: string; execArgv: string[] } {
  const fromSource = import.meta.url.endsWith('.ts');
  const folder = fromSource ? '../../../dist/libs/gallery/src/' : './';
  return {
    path: fileURLToPath(new URL(`${folder}shard-worker.js`, import.meta.url)),
    // A test runner's own conditions would lead the built worker back to the sources.
    execArgv: fromSource ? [] : process.execArgv,
  };
}
