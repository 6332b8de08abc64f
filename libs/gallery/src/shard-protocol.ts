/** What a shard's host and its worker thread say to each other. Both are built together, so there are no versions. */
import type { Disposition } from '#domain/disposition.js';
import type { CodedError } from '#domain/errors.js';
import { describeError, Failure, Refusal } from '#domain/errors.js';
import type { GalleryFilter, SearchMode, TemplateMetadata, TemplateSource } from '#domain/gallery.js';
import type { ImageId, Offset } from '#domain/ids.js';
import type { GalleryAnswer, HeldTemplate, PartitionDigest, ShardCoverage } from './gallery-contents.js';
import type { RecallStats } from './recall-watch.js';
import type { SnapshotIdentity } from './snapshot-manifest.js';
import type { ApplyResult, TemplateChange } from './template-change.js';

export interface ShardWorkerOptions extends SnapshotIdentity {
  /** Of this worker alone. */
  readonly snapshotFolder: string;
  /** `auto` is exact up to so many templates of the worker, and approximate above. */
  readonly autoExactMaxTemplates: number;
  /** Of the approximate searches, 0 to 1: so many are done again exactly, to know what the graph finds. */
  readonly recallSampleShare: number;
}

export interface RestoredState {
  /** By partition; exclusive: where to go on reading. */
  readonly nextOffsets: Map<number, Offset>;
  readonly templates: number;
  /** When what was restored had been written, milliseconds since 1970; undefined when nothing was. */
  readonly writtenAtMs: number | undefined;
  /** What was set aside or rebuilt, for the log. */
  readonly notices: readonly string[];
}

export interface WorkerQuery {
  /** Float32Array of length `dimension`, of norm 1. Without one, only the coverage is asked for. */
  readonly probe: Float32Array | undefined;
  /** Subjects wanted, 1 to 1000. */
  readonly k: number;
  readonly mode: SearchMode;
  readonly filter?: GalleryFilter | undefined;
  /** When whoever asks stops waiting, milliseconds since 1970: a search that is begun later is refused. */
  readonly deadlineMs?: number;
}

export interface WorkerAnswer extends GalleryAnswer {
  readonly coverage: readonly ShardCoverage[];
  readonly durationMs: number;
}

export interface DispositionItem {
  readonly imageId: ImageId;
  /** null = active again. */
  readonly disposition: Disposition | null;
}

export interface PartitionAdvance {
  readonly partition: number;
  /** Exclusive. */
  readonly nextOffset: Offset;
}

export type SnapshotReport =
  | { readonly sequence: number; readonly templates: number; readonly sizeBytes: number; readonly durationMs: number }
  | { readonly skipped: 'unchanged' }
  | ({ readonly skipped: 'replay-is-quicker' } & RestartCost);

/** What a start without a new snapshot would cost, and what writing one costs. */
export interface RestartCost {
  readonly replayMs: number;
  readonly writeMs: number;
}

/** `worthwhile`: unless reading the log again is quicker, and no file holds what is erased. */
export type SnapshotOccasion = 'always' | 'worthwhile';

export interface ShardStats {
  /** Suppressed ones included. */
  readonly templates: number;
  readonly suppressed: number;
  /** Images that are not searched, because their last record cannot be used. */
  readonly unusable: number;
  /** Deleted nodes that the graph still walks through. */
  readonly tombstones: number;
  /** Templates in the graph. */
  readonly approximateSize: number;
  /** Templates that the graph is behind by; searches look at them one by one, or are exact. */
  readonly approximatePending: number;
  readonly recall: RecallStats;
  /** Of vectors, codes, graph and what is filtered by, in native memory. */
  readonly memoryBytes: number;
  /** Of what is known of the templates beside that, in native memory. */
  readonly entryBytes: number;
  /** When the newest snapshot was written or restored; undefined when there is none. */
  readonly snapshotAtMs: number | undefined;
}

/** What a worker says of its part, for the report of its replica. */
export interface ShardReport {
  readonly partitions: readonly PartitionDigest[];
  /**
   * Of what the dispositions given so far erase: `done` when it is neither in memory nor in a file any more, and
   * `needs-snapshot` when files may hold it until {@link ShardCalls.snapshot} replaces them.
   */
  readonly destruction: 'done' | 'under-way' | 'needs-snapshot';
  /** The newest good one; undefined when there is none. */
  readonly snapshot: { readonly atMs: number; readonly templates: number; readonly sizeBytes: number } | undefined;
}

/** A {@link TemplateChange} whose vector is in the batch's one buffer. */
export type PackedChange =
  | Exclude<TemplateChange, { kind: 'template' }>
  | (Pick<TemplateChange, 'partition' | 'offset' | 'imageId' | 'timestampMs'> & {
      readonly kind: 'template';
      readonly metadata: TemplateMetadata;
      readonly source: TemplateSource;
      /** In float32 values from the start of the buffer. */
      readonly vectorStart: number;
      readonly vectorLength: number;
    });

export interface ShardCalls {
  apply: {
    request: { changes: PackedChange[]; vectors: ArrayBuffer; advance: PartitionAdvance[] };
    response: ApplyResult;
  };
  setDispositions: { request: DispositionItem[]; response: undefined };
  search: { request: WorkerQuery; response: WorkerAnswer };
  snapshot: {
    request: { readonly handledTo: ReadonlyMap<number, Offset>; readonly occasion: SnapshotOccasion };
    response: SnapshotReport;
  };
  stats: { request: undefined; response: ShardStats };
  report: { request: undefined; response: ShardReport };
  republishable: { request: ImageId[]; response: HeldTemplate[] };
  digest: { request: undefined; response: string };
  settled: { request: undefined; response: undefined };
  discardState: { request: string; response: undefined };
  close: { request: { snapshot: boolean }; response: undefined };
}

export type CallName = keyof ShardCalls;

export type HostMessage = {
  [Name in CallName]: { readonly id: number; readonly call: Name; readonly request: ShardCalls[Name]['request'] };
}[CallName];

export type WorkerMessage =
  | { readonly kind: 'started'; readonly restored: RestoredState }
  | { readonly kind: 'not-started'; readonly error: PackedError }
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: PackedError };

/** A {@link CodedError} that crosses threads. */
export interface PackedError {
  readonly refused: boolean;
  readonly code: string;
  readonly publicText: string;
  readonly retryable: boolean;
  readonly cause: string | undefined;
}

export function packError(error: CodedError): PackedError {
  return {
    refused: error instanceof Refusal,
    code: error.code,
    publicText: error.publicText,
    retryable: error.retryable,
    cause: error.cause === undefined ? undefined : describeError(error.cause),
  };
}

export function unpackError({ refused, code, publicText, retryable, cause }: PackedError): CodedError {
  const options = cause === undefined ? undefined : { cause: new Error(cause) };
  return refused
    ? new Refusal(code, publicText, undefined, options)
    : new Failure(code, publicText, retryable, options);
}

/** All vectors of a batch in one buffer, so that handing them over is one transfer. */
export function packChanges(changes: readonly TemplateChange[]): { changes: PackedChange[]; vectors: ArrayBuffer } {
  let length = 0;
  for (const change of changes) if (change.kind === 'template') length += change.vector.length;
  const vectors = new Float32Array(length);
  let start = 0;
  const packed = changes.map((change): PackedChange => {
    if (change.kind !== 'template') return change;
    const { vector, ...rest } = change;
    vectors.set(vector, start);
    const packedChange = { ...rest, vectorStart: start, vectorLength: vector.length };
    start += vector.length;
    return packedChange;
  });
  return { changes: packed, vectors: vectors.buffer };
}

export function unpackChange(change: PackedChange, vectors: ArrayBuffer): TemplateChange {
  if (change.kind !== 'template') return change;
  const { vectorStart, vectorLength, ...rest } = change;
  return { ...rest, vector: new Float32Array(vectors, vectorStart * 4, vectorLength) };
}
