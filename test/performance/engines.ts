/**
 * Both engines against what else could be done, on 100,000 templates of 512 dimensions whose scores are spread as real
 * ones are: the CPU time of a search, who is found, what a filter costs, and from which size `auto` should approximate.
 * Contenders take turns in every round. The first run builds a graph, for some minutes, and keeps it in the cache.
 */
import type { GalleryFilter } from '#domain/gallery.js';
import type { ImageId } from '#domain/ids.js';
import type { GalleryShard } from '#gallery/gallery-shard.js';
import { hnswParameters } from '#gallery/hnsw-graph.js';
import { FaceVectors } from './face-vectors.js';
import { FORCES, imageIdOf, shardOf } from './gallery-under-test.js';
import { builtGraphs } from './hnsw-graphs.js';
import { cpuTimed, figure, median, ratioAtLeast, ratioAtMost, type BenchResult, type Figure } from './measure.js';
import { bestByPlainScan, BRUTE_FORCE, scansOf } from './reference/scans.js';
import { RawHnsw } from './reference/raw-hnsw.js';

const DIMENSION = 512;
/** Ascending, up to SIZE. */
const SIZES = [25_000, 50_000, 100_000] as const;
const SIZE = 100_000;
const CANDIDATES = 10;
const ROUNDS = 7;
const PROBES_PER_ROUND = 60;
/** Slow ones are asked less often. */
const SCANS_PER_ROUND = 24;
const MATES = 1000;
const PLAIN_CHECKS = 40;

/** Beyond it the bench says "more than", rather than to trust two lines so far from where they were measured. */
const CROSSOVER_MAX = 1_000_000;

export async function benchEngines(): Promise<BenchResult> {
  const faces = await FaceVectors.open(DIMENSION, say);
  const vectors = await faces.enrolled(SIZE, say);
  const parameters = hnswParameters(DIMENSION);
  const graphs = await builtGraphs(vectors, faces.name, DIMENSION, parameters, SIZES, say);
  const probes = matesOf(faces, MATES, SIZES[0]);
  const timed = probes.slice(0, PROBES_PER_ROUND);
  say(`templates fitted to ${faces.source}`);

  const sizes = await timesBySize(vectors, graphs, timed);
  const whole = graphs.at(-1) ?? '';
  const shard = await shardOf(vectors, DIMENSION, SIZE, whole);
  const raw = await timesAgainstRaw(shard, whole, timed, parameters.efSearch);
  const scans = await timesOfScans(shard, vectors, timed);
  const filters = await timesOfFilters(shard, timed);
  const found = whoIsFound(shard, vectors, probes);
  const crossover = crossoverOf(sizes);
  return {
    figures: [
      ...scans.figures,
      ...raw.figures,
      ...sizes.map(({ figures }) => figures).flat(),
      figure('crossover: both engines take the same', 'templates', [crossover]),
      figure('AUTO_EXACT_MAX_TEMPLATES for this machine', 'templates', [roundedDown(crossover)]),
      ...filters.figures,
      ...found.figures,
    ],
    ratios: [
      ratioAtMost('exact engine / hnswlib-node BruteforceSearch, CPU', scans.exactToBruteForce, 0.4),
      ratioAtLeast('exact engine, recall against a plain scan', found.exactRecall, 1),
      ...(raw.ratio === undefined ? [] : [ratioAtMost('HNSW engine / C++ hnswlib, CPU', raw.ratio, 1.15)]),
      ratioAtMost('slowest filter / no filter, exact engine, CPU', filters.worst, 1.5),
    ],
  };
}

interface Mate {
  readonly slot: number;
  readonly probe: Float32Array;
}

interface SizeTimes {
  readonly size: number;
  readonly exactMs: number;
  readonly approximateMs: number;
  readonly figures: readonly Figure[];
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** People spread over the part of the gallery that every size has. */
function matesOf(faces: FaceVectors, count: number, size: number): Mate[] {
  return Array.from({ length: count }, (_, i) => {
    const slot = Math.floor(((i * 7919) % count) * (size / count));
    return { slot, probe: faces.probe(slot) };
  });
}

/** Milliseconds of CPU a search, a value a round. */
async function perSearch(shard: GalleryShard, mode: 'exact' | 'approximate', mates: readonly Mate[]): Promise<number> {
  const ms = await cpuTimed(() => {
    for (const { probe } of mates) {
      const answer = shard.search({ probe, k: CANDIDATES, mode });
      if (answer.mode !== mode) throw new Error(`asked for ${mode}, answered ${answer.mode}`);
    }
  });
  return ms / mates.length;
}

async function timesBySize(
  vectors: Float32Array,
  graphs: readonly string[],
  mates: readonly Mate[],
): Promise<SizeTimes[]> {
  const results: SizeTimes[] = [];
  for (const [i, size] of SIZES.entries()) {
    say(`both engines with ${size} templates`);
    const shard = await shardOf(vectors, DIMENSION, size, graphs[i]);
    const exact: number[] = [];
    const approximate: number[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      const exactMs = await perSearch(shard, 'exact', mates);
      const approximateMs = await perSearch(shard, 'approximate', mates);
      if (round === 0) continue; // Warming up.
      exact.push(exactMs);
      approximate.push(approximateMs);
    }
    results.push({
      size,
      exactMs: median(exact),
      approximateMs: median(approximate),
      figures: [
        figure(`exact engine, ${size} templates`, 'ms CPU', exact),
        figure(`HNSW engine, ${size} templates`, 'ms CPU', approximate),
      ],
    });
  }
  return results;
}

async function timesAgainstRaw(
  shard: GalleryShard,
  graphPath: string,
  mates: readonly Mate[],
  ef: number,
): Promise<{ figures: Figure[]; ratio: number | undefined }> {
  const probes = new Float32Array(mates.length * DIMENSION);
  mates.forEach(({ probe }, i) => probes.set(probe, i * DIMENSION));
  const raw = await RawHnsw.open(graphPath, DIMENSION, probes, CANDIDATES, ef);
  if (raw === undefined) {
    say('there is no g++, so the engine is not compared with hnswlib in C++');
    return { figures: [], ratio: undefined };
  }
  try {
    await raw.load();
    const rawMs: number[] = [];
    const engineMs: number[] = [];
    for (let round = 0; round <= ROUNDS * 2; round++) {
      const bare = (await raw.search()).cpuMs / mates.length;
      const engine = await perSearch(shard, 'approximate', mates);
      if (round === 0) continue;
      rawMs.push(bare);
      engineMs.push(engine);
    }
    return {
      figures: [
        figure('C++ hnswlib, the same graph, ef and flags', 'ms CPU', rawMs),
        figure('HNSW engine beside it', 'ms CPU', engineMs),
      ],
      ratio: median(engineMs.map((ms, i) => ms / rawMs[i]!)),
    };
  } finally {
    await raw.close();
  }
}

async function timesOfScans(
  shard: GalleryShard,
  vectors: Float32Array,
  mates: readonly Mate[],
): Promise<{ figures: Figure[]; exactToBruteForce: number }> {
  say('the exact engine beside other scans');
  const scans = await scansOf(vectors, DIMENSION, CANDIDATES);
  const asked = mates.slice(0, SCANS_PER_ROUND);
  const exactMs: number[] = [];
  const ratios: number[] = [];
  const times = new Map(scans.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    const exact = await perSearch(shard, 'exact', asked);
    if (round > 0) exactMs.push(exact);
    for (const { name, search } of scans) {
      const ms = await cpuTimed(async () => {
        for (const { probe } of asked) await search(probe);
      });
      if (round === 0) continue;
      times.get(name)!.push(ms / asked.length);
      if (name === BRUTE_FORCE) ratios.push(exact / (ms / asked.length));
    }
  }
  for (const scan of scans) await scan.close();
  return {
    figures: [
      figure('exact engine, int8 scan and float32 again', 'ms CPU', exactMs),
      ...[...times].map(([name, ms]) => figure(name, 'ms CPU', ms)),
    ],
    exactToBruteForce: median(ratios),
  };
}

async function timesOfFilters(
  shard: GalleryShard,
  mates: readonly Mate[],
): Promise<{ figures: Figure[]; worst: number }> {
  say('filters');
  const excludeImageIds = mates.map(({ probe }) => bestImage(shard, probe));
  const filters: Readonly<Record<string, GalleryFilter>> = {
    'of one force in eight': { force: FORCES[3]! },
    'of no force': { force: 'nowhere' },
    'every date': { capturedFrom: '1990-01-01T00:00:00Z' },
    'half the dates': { capturedFrom: '2022-01-01T00:00:00Z', capturedTo: '2025-01-01T00:00:00Z' },
    'one day in two thousand': { capturedFrom: '2022-01-01T00:00:00Z', capturedTo: '2022-01-02T00:00:00Z' },
    'men, two thirds': { sex: 'male' },
    'one age band in six': { ageBand: '25-34' },
    'images excluded': { excludeImageIds },
    'all at once': {
      force: FORCES[3]!,
      capturedFrom: '2022-01-01T00:00:00Z',
      sex: 'male',
      ageBand: '25-34',
      excludeImageIds,
    },
  };
  const ratios = new Map(Object.keys(filters).map((name) => [name, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    const without = await perSearch(shard, 'exact', mates);
    for (const [name, filter] of Object.entries(filters)) {
      const ms = await cpuTimed(() => {
        for (const { probe } of mates) shard.search({ probe, k: CANDIDATES, mode: 'exact', filter });
      });
      if (round > 0) ratios.get(name)!.push(ms / mates.length / without);
    }
  }
  return {
    figures: [...ratios].map(([name, values]) => figure(`filter: ${name} / no filter`, 'x CPU', values)),
    worst: Math.max(...[...ratios.values()].map(median)),
  };
}

function bestImage(shard: GalleryShard, probe: Float32Array): ImageId {
  return shard.search({ probe, k: 1, mode: 'exact' }).candidates[0]!.imageId;
}

/** Mates in first place, of those whom an exact search has there; and whether that is what a plain scan says. */
function whoIsFound(
  shard: GalleryShard,
  vectors: Float32Array,
  mates: readonly Mate[],
): { figures: Figure[]; exactRecall: number } {
  say('who is found');
  const found = (probe: Float32Array, mode: 'exact' | 'approximate'): ImageId[] =>
    shard.search({ probe, k: CANDIDATES, mode }).candidates.map((candidate) => candidate.imageId);
  const shared = (truth: readonly ImageId[], other: readonly ImageId[]): number =>
    truth.filter((id) => other.includes(id)).length / truth.length;
  let matesFirst = 0;
  let matesFirstInBoth = 0;
  let recall = 0;
  for (const { slot, probe } of mates) {
    const exact = found(probe, 'exact');
    const near = found(probe, 'approximate');
    recall += shared(exact, near) / mates.length;
    if (exact[0] !== imageIdOf(slot)) continue;
    matesFirst++;
    if (near[0] === exact[0]) matesFirstInBoth++;
  }
  const checked = mates.slice(0, PLAIN_CHECKS);
  const exactRecall =
    checked.reduce((sum, { probe }) => {
      const plain = bestByPlainScan(vectors, DIMENSION, probe, CANDIDATES).map(imageIdOf);
      return sum + shared(plain, found(probe, 'exact'));
    }, 0) / checked.length;
  return {
    figures: [
      figure('mate first in an exact search', '%', [(100 * matesFirst) / mates.length]),
      figure('HNSW engine, mate first where exact has it first', '%', [(100 * matesFirstInBoth) / matesFirst]),
      figure('HNSW engine, recall of the first ten', '%', [100 * recall]),
    ],
    exactRecall,
  };
}

/** Where the lines cross: between two sizes that were measured, or beyond them along n and along its logarithm. */
function crossoverOf(sizes: readonly SizeTimes[]): number {
  const gain = sizes.map(({ exactMs, approximateMs }) => exactMs - approximateMs);
  if (gain[0]! >= 0) return sizes[0]!.size;
  for (const [i, after] of gain.entries()) {
    const before = gain[i - 1];
    if (before === undefined || after < 0) continue;
    const from = sizes[i - 1]!.size;
    return from + ((sizes[i]!.size - from) * -before) / (after - before);
  }
  const exact = lineThrough(sizes.map(({ size, exactMs }) => [size, exactMs]));
  const approximate = lineThrough(sizes.map(({ size, approximateMs }) => [Math.log(size), approximateMs]));
  let size = SIZE;
  while (size < CROSSOVER_MAX && exact(size) < approximate(Math.log(size))) size *= 1.01;
  return Math.min(size, CROSSOVER_MAX);
}

/** By least squares. */
function lineThrough(points: readonly (readonly [number, number])[]): (x: number) => number {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length;
  const slope =
    points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) /
    points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return (x) => meanY + slope * (x - meanX);
}

/** To two digits. */
function roundedDown(size: number): number {
  const unit = 10 ** (Math.floor(Math.log10(size)) - 1);
  return Math.floor(size / unit) * unit;
}
