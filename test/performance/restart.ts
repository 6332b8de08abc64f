/**
 * How long a replica is away: 100,000 templates from a snapshot against hnswlib's own C++ load of the same graph and the
 * checksum of the bytes that were read, by the clock, and from the log against the library's own insertions. And what a template takes
 * in memory, in a process that holds nothing else. `restart-million` does the first without a graph, ten times as large.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import hnswlib from 'hnswlib-node';
import { modelId } from '#domain/ids.js';
import { GalleryShard } from '#gallery/gallery-shard.js';
import { hnswParameters } from '#gallery/hnsw-graph.js';
import { ShardHost } from '#gallery/shard-host.js';
import type { ShardWorkerOptions } from '#gallery/shard-protocol.js';
import { diskSnapshotFs } from '#gallery/snapshot-files.js';
import { SnapshotFolder } from '#gallery/snapshot.js';
import { FaceVectors } from './face-vectors.js';
import { changeWith, PARTITIONS, shardOf, templateChange } from './gallery-under-test.js';
import { builtGraphs } from './hnsw-graphs.js';
import {
  cpuTimed,
  figure,
  median,
  ratioAtLeast,
  ratioAtMost,
  timed,
  type BenchResult,
  type Figure,
} from './measure.js';
import { RawHnsw, type RawTime } from './reference/raw-hnsw.js';
import { restoredInProcess, type Restored } from './reference/restored-process.js';

const DIMENSION = 512;
const SIZE = 100_000;
const MILLION = 1_000_000;
const ROUNDS = 5;
/** As a replica reads them from its log. */
const BATCH = 500;
/** Much less than a gallery, which flatters the library: inserting costs more the larger the graph is already. */
const REPLAYED = 12_000;
const REPLAY_ROUNDS = 3;
const TEMPLATE_BYTES = DIMENSION * 4;
/** So that what a process has whatever it holds, code and the library's fixed tables, is not counted as a template's. */
const FEW = 1_000;

export async function benchRestart(): Promise<BenchResult> {
  const faces = await FaceVectors.open(DIMENSION, say);
  const vectors = await faces.enrolled(SIZE, say);
  const sizes = [25_000, 50_000, SIZE];
  const graphs = await builtGraphs(vectors, faces.name, DIMENSION, hnswParameters(DIMENSION), sizes, say);
  const folder = await mkdtemp(join(tmpdir(), 'restart-'));
  try {
    const log = await replayTimes(vectors, join(folder, 'log'));
    const base = join(folder, 'worker-0');
    const snapshot = await restoreTimes(await shardOf(vectors, DIMENSION, SIZE, graphs.at(-1)), base);
    const few = await restoredFew(vectors, join(folder, 'few'));
    const perTemplate = (of: (restored: Restored) => number): number =>
      median(snapshot.restored.map((restored) => of(restored) - of(few))) / (SIZE - FEW);
    const native = perTemplate(({ nativeBytes }) => nativeBytes);
    // What is known of a template beside its vector: the ids by which it is found, and its entry.
    const record = perTemplate(({ heapBytes, entryBytes }) => heapBytes + entryBytes);
    const heap = perTemplate(({ heapBytes }) => heapBytes);
    const resident = perTemplate(({ residentBytes }) => residentBytes);
    const measured = resident - record;
    return {
      figures: [
        ...snapshot.figures,
        ...log.figures,
        figure('memory a template, as the engines count it', 'bytes', [native]),
        figure('memory a template, measured, without its record', 'bytes', [measured]),
        figure('the same, if the graph and the store shared one float32', 'bytes', [measured - TEMPLATE_BYTES]),
        figure('memory a template: its record', 'bytes', [record]),
        figure('of that, in JavaScript', 'bytes', [heap]),
        figure('the process has grown by, a template', 'bytes', [resident]),
      ],
      ratios: [
        ...(snapshot.ratio === undefined
          ? []
          : [ratioAtMost('from a snapshot / C++ load and checksum, by the clock', snapshot.ratio, 1.5)]),
        ratioAtLeast("from the log / the library's own insertions, CPU", log.ratio, 0.8),
        // By what the process really grew, and not by what the engines count: the kernel's figure decides.
        ratioAtMost('memory a template, measured, without its record / its bytes', measured / TEMPLATE_BYTES, 2.5),
      ],
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The exact engine alone: building a graph of a million would take an hour and a half. */
export async function benchRestartMillion(): Promise<BenchResult> {
  const faces = await FaceVectors.open(DIMENSION, say);
  const some = await faces.enrolled(SIZE, say);
  const folder = await mkdtemp(join(tmpdir(), 'restart-'));
  try {
    const base = join(folder, 'worker-0');
    say(`${MILLION} templates are enrolled`);
    const shard = new GalleryShard({ dimension: DIMENSION, partitions: PARTITIONS, autoExactMaxTemplates: Infinity });
    const enrolMs = await cpuTimed(() => {
      // The same faces ten times over, each time with the values in another order: what they say is not asked here.
      const turned = new Float32Array(SIZE * DIMENSION);
      for (let tenth = 0; tenth < MILLION / SIZE; tenth++) {
        for (let i = 0; i < turned.length; i++) {
          turned[i] = some[i - (i % DIMENSION) + (((i % DIMENSION) + tenth * 37) % DIMENSION)]!;
        }
        for (let row = 0; row < SIZE; row++) {
          const vector = turned.subarray(row * DIMENSION, (row + 1) * DIMENSION);
          shard.apply(changeWith(vector, tenth * SIZE + row));
        }
      }
    });
    const snapshots = new SnapshotFolder(diskSnapshotFs, base, identity());
    let sizeBytes = 0;
    let writeMs = 0;
    const writeCpuMs = await cpuTimed(async () => {
      writeMs = await timed(async () => {
        ({ sizeBytes } = await snapshots.write(shard, shard.nextOffsets(), false));
      });
    });
    let restored = 0;
    let restoreMs = 0;
    const restoreCpuMs = await cpuTimed(async () => {
      restoreMs = await timed(async () => {
        restored = (await snapshots.restore(emptyShard)).shard.size;
      });
    });
    if (restored !== MILLION) throw new Error(`${restored} templates came back`);
    return {
      figures: [
        figure('a million templates: enrolled', 's CPU', [enrolMs / 1000]),
        figure('a million templates: snapshot written and verified', 's CPU', [writeCpuMs / 1000]),
        figure('the same, by the clock', 's', [writeMs / 1000]),
        figure('a million templates: its size', 'GB', [sizeBytes / 1e9]),
        figure('a million templates: restored', 's CPU', [restoreCpuMs / 1000]),
        figure('the same, by the clock', 's', [restoreMs / 1000]),
      ],
      ratios: [],
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function identity(): Omit<ShardWorkerOptions, 'snapshotFolder' | 'autoExactMaxTemplates' | 'recallSampleShare'> {
  return {
    clusterId: 'MkU3OEVBNTcwNTJENDM2Qg',
    modelId: modelId('0123456789abcdef'),
    dimension: DIMENSION,
    layout: { shards: 1, shard: 0, workers: 1, worker: 0 },
    partitions: PARTITIONS,
  };
}

function optionsFor(snapshotFolder: string): ShardWorkerOptions {
  return { ...identity(), snapshotFolder, autoExactMaxTemplates: 0, recallSampleShare: 0 };
}

function emptyShard(): GalleryShard {
  return new GalleryShard({ dimension: DIMENSION, partitions: PARTITIONS, autoExactMaxTemplates: 0 });
}

/** A small gallery, in its graph, to measure the memory of a large one from. */
async function restoredFew(vectors: Float32Array, base: string): Promise<Restored> {
  const shard = await shardOf(vectors, DIMENSION, FEW);
  shard.approximate.build(Infinity);
  await new SnapshotFolder(diskSnapshotFs, base, identity()).write(shard, shard.nextOffsets(), false);
  return restoredInProcess(optionsFor(base), FEW);
}

/** Each time by a process that has just started. */
async function restoreTimes(
  shard: GalleryShard,
  base: string,
): Promise<{ figures: Figure[]; ratio: number | undefined; restored: readonly Restored[] }> {
  const snapshots = new SnapshotFolder(diskSnapshotFs, base, identity());
  say('the snapshot is written');
  const writeMs = await timed(() => snapshots.write(shard, shard.nextOffsets(), false));
  const folder = join(base, '1');
  const raw = await RawHnsw.open(join(folder, 'hnsw.bin'), DIMENSION, new Float32Array(DIMENSION), 1, 256);
  if (raw === undefined) say('there is no g++, so restoring is not compared with hnswlib in C++');
  const restored: Restored[] = [];
  const loads: RawTime[] = [];
  const sumMs: number[] = [];
  let sizeBytes = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    const load = await raw?.load();
    const sum = await timed(() => {
      sizeBytes = checksums(folder);
    });
    const ours = await restoredInProcess(optionsFor(base), SIZE);
    say(
      `restored in ${ours.clockMs.toFixed()} ms, C++ ${load?.clockMs.toFixed() ?? '-'} ms, checksums ${sum.toFixed()} ms`,
    );
    if (round === 0) continue; // The files come into the page cache.
    if (load !== undefined) loads.push(load);
    sumMs.push(sum);
    restored.push(ours);
  }
  await raw?.close();
  return {
    restored,
    figures: [
      figure('snapshot, written and verified', 'ms', [writeMs]),
      figure('snapshot, its size', 'MB', [sizeBytes / 1e6]),
      figure(
        'restored from the snapshot',
        'ms',
        restored.map(({ clockMs }) => clockMs),
      ),
      figure(
        'the same, on all threads',
        'ms CPU',
        restored.map(({ cpuMs }) => cpuMs),
      ),
      figure(
        'C++ hnswlib loads the graph, one thread',
        'ms',
        loads.map(({ clockMs }) => clockMs),
      ),
      figure('SHA-256 of the bytes, one thread', 'ms', sumMs),
    ],
    ratio:
      raw === undefined
        ? undefined
        : median(restored.map(({ clockMs }, i) => clockMs / (loads[i]!.clockMs + sumMs[i]!))),
  };
}

/** Through the worker thread, all but Kafka, until every template is in the graph. */
async function replayTimes(vectors: Float32Array, folder: string): Promise<{ figures: Figure[]; ratio: number }> {
  const { links, efConstruction } = hnswParameters(DIMENSION);
  const rawMs: number[] = [];
  const oursMs: number[] = [];
  const searchableMs: number[] = [];
  for (let round = 0; round < REPLAY_ROUNDS; round++) {
    const raw = await cpuTimed(() => {
      const index = new hnswlib.HierarchicalNSW('ip', DIMENSION);
      index.initIndex(REPLAYED, links, efConstruction, 100);
      for (let row = 0; row < REPLAYED; row++) {
        index.addPoint([...vectors.subarray(row * DIMENSION, (row + 1) * DIMENSION)], row);
      }
    });
    const host = await ShardHost.start(optionsFor(join(folder, `${round}`)));
    let searchable = 0;
    const ours = await cpuTimed(async () => {
      searchable = await cpuTimed(async () => {
        for (let start = 0; start < REPLAYED; start += BATCH) {
          const changes = Array.from({ length: BATCH }, (_, i) => templateChange(vectors, DIMENSION, start + i));
          await host.apply(changes, []);
        }
      });
      while ((await host.stats()).approximatePending > 0) await new Promise((resolve) => setTimeout(resolve, 100));
    });
    await host.close({ snapshot: false });
    say(`the log is replayed, round ${round}: ${ours.toFixed()} ms, the library ${raw.toFixed()} ms`);
    rawMs.push(raw);
    oursMs.push(ours);
    searchableMs.push(searchable);
  }
  return {
    figures: [
      figure(
        'log: searchable (exactly)',
        'templates/s CPU',
        searchableMs.map((ms) => (REPLAYED * 1000) / ms),
      ),
      figure(
        'log: in the graph too',
        'templates/s CPU',
        oursMs.map((ms) => (REPLAYED * 1000) / ms),
      ),
      figure(
        "the library's own insertions",
        'templates/s CPU',
        rawMs.map((ms) => (REPLAYED * 1000) / ms),
      ),
    ],
    ratio: median(oursMs.map((ms, i) => rawMs[i]! / ms)),
  };
}

/** Read and hashed with nothing around it. @returns bytes */
function checksums(folder: string): number {
  const buffer = new Uint8Array(1_048_576);
  let sizeBytes = 0;
  for (const name of readdirSync(folder)) {
    const hash = createHash('sha256');
    const file = openSync(join(folder, name), 'r');
    for (let count = readSync(file, buffer); count > 0; count = readSync(file, buffer)) {
      hash.update(buffer.subarray(0, count));
      sizeBytes += count;
    }
    closeSync(file);
    hash.digest();
  }
  return sizeBytes;
}
