/** The manifest of a snapshot: what it is of, how far it reads, and what its files must hash to. */
import { createHash } from 'node:crypto';
import { Refusal } from '#domain/errors.js';
import type { ModelId, Offset } from '#domain/ids.js';
import type { GraphFacts } from './hnsw-graph.js';
import { corrupt, type FileFacts } from './snapshot-files.js';

/** Raised whenever the files change their meaning; a reader knows one version, and the log rebuilds the others. */
export const SNAPSHOT_FORMAT_VERSION = 5;

/** Which share of the gallery: worker `worker` of `workers` of shard `shard` of `shards`. Numbers from 0. */
export interface ShardLayout {
  readonly shards: number;
  readonly shard: number;
  readonly workers: number;
  readonly worker: number;
}

/** What must be equal for a snapshot to be of use. */
export interface SnapshotIdentity {
  /** Of the log that the offsets are of: the same offsets of another one, however long it is, mean nothing. */
  readonly clusterId: string;
  readonly modelId: ModelId;
  readonly dimension: number;
  readonly layout: ShardLayout;
  readonly partitions: readonly number[];
}

export interface SnapshotManifest extends SnapshotIdentity {
  readonly formatVersion: number;
  readonly sequence: number;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly nextOffsets: readonly {
    readonly partition: number;
    /** Exclusive: where to go on reading. */
    readonly nextOffset: Offset;
    /** Of the partition's templates, see GalleryDigest. */
    readonly digest: string;
  }[];
  readonly templates: number;
  /** Rows of the columns, those without a template included. */
  readonly slotEnd: number;
  /** Images whose last record cannot be used. */
  readonly unusable: number;
  /** Absent when nothing was in the graph. */
  readonly graph?: GraphFacts;
  /** The one before it, which was kept; any other beside it is of unknown content. Null when none was. */
  readonly previous: number | null;
  /** Whether older snapshots hold templates that are erased by now, so that they must go. */
  readonly replacesOlder: boolean;
  readonly files: readonly FileFacts[];
}

export function encodeManifest(manifest: SnapshotManifest): Uint8Array {
  return Buffer.from(JSON.stringify({ sha256: manifestHash(manifest), manifest }, null, 2));
}

/**
 * @throws Failure SNAPSHOT_CORRUPT
 * @throws Refusal SNAPSHOT_VERSION_UNKNOWN, SNAPSHOT_MODEL_DIFFERS, SNAPSHOT_DIMENSION_DIFFERS, SNAPSHOT_LAYOUT_DIFFERS,
 *   SNAPSHOT_OTHER_LOG
 */
export function decodeManifest(text: string, expected: SnapshotIdentity): SnapshotManifest {
  let envelope: { sha256: string; manifest: SnapshotManifest };
  try {
    envelope = JSON.parse(text) as typeof envelope;
    if (envelope.sha256 !== manifestHash(envelope.manifest)) throw new Error('the checksum differs');
  } catch (cause) {
    throw corrupt('the manifest cannot be read', cause);
  }
  const { manifest } = envelope;
  if (manifest.formatVersion !== SNAPSHOT_FORMAT_VERSION) {
    throw new Refusal('SNAPSHOT_VERSION_UNKNOWN', `The snapshot has the format version ${manifest.formatVersion}.`);
  }
  if (manifest.modelId !== expected.modelId) {
    throw new Refusal('SNAPSHOT_MODEL_DIFFERS', `The snapshot is of the model ${manifest.modelId}.`);
  }
  if (manifest.dimension !== expected.dimension) {
    throw new Refusal('SNAPSHOT_DIMENSION_DIFFERS', `The snapshot's templates have ${manifest.dimension} dimensions.`);
  }
  if (!isSameLayout(manifest, expected)) {
    throw new Refusal('SNAPSHOT_LAYOUT_DIFFERS', 'The snapshot is of another share of the gallery.');
  }
  if (manifest.clusterId !== expected.clusterId) {
    throw new Refusal('SNAPSHOT_OTHER_LOG', 'The snapshot is of the log of another Kafka cluster.');
  }
  return manifest;
}

function isSameLayout(a: SnapshotIdentity, b: SnapshotIdentity): boolean {
  const keys = ['shards', 'shard', 'workers', 'worker'] as const;
  const ofA = [...a.partitions].sort((x, y) => x - y);
  const ofB = [...b.partitions].sort((x, y) => x - y);
  return keys.every((key) => a.layout[key] === b.layout[key]) && ofA.join() === ofB.join();
}

/** JSON keeps the order of keys, so that parsing and writing again gives the same text. */
function manifestHash(manifest: SnapshotManifest): string {
  return createHash('sha256').update(JSON.stringify(manifest)).digest('hex');
}
