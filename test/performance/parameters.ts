/**
 * Which links and which ef a graph needs, by dimension: the table that hnswParameters in libs/gallery was chosen by.
 * Recall alone hides lost people, so what counts is how many mates come first of those whom an exact search has first.
 * Builds four graphs of 100,000 templates the first time, some ten minutes on one core.
 */
import hnswlib from 'hnswlib-node';
import { FaceVectors } from './face-vectors.js';
import { builtGraphs } from './hnsw-graphs.js';
import { cpuTimed, figure, type BenchResult, type Figure } from './measure.js';
import { bestByPlainScan } from './reference/scans.js';

const SIZE = 100_000;
const DIMENSIONS = [128, 512];
const LINKS = [16, 32];
const EF_CONSTRUCTION = 200;
const EF_SEARCH = [64, 128, 256, 512];
const MATES = 500;
const CANDIDATES = 10;

export async function benchParameters(): Promise<BenchResult> {
  const figures: Figure[] = [];
  for (const dimension of DIMENSIONS) {
    const faces = await FaceVectors.open(dimension, say);
    const vectors = await faces.enrolled(SIZE, say);
    const slots = Array.from({ length: MATES }, (_, i) => Math.floor(i * (SIZE / MATES)));
    const probes = slots.map((slot) => faces.probe(slot));
    const truth = probes.map((probe) => bestByPlainScan(vectors, dimension, probe, CANDIDATES));
    for (const links of LINKS) {
      const [path] = await builtGraphs(
        vectors,
        faces.name,
        dimension,
        { links, efConstruction: EF_CONSTRUCTION },
        [SIZE],
        say,
      );
      const index = new hnswlib.HierarchicalNSW('ip', dimension);
      await index.readIndex(path!);
      for (const ef of EF_SEARCH) {
        index.setEf(ef);
        const found: number[][] = [];
        const ms = await cpuTimed(() => {
          for (const probe of probes) found.push(index.searchKnn([...probe], CANDIDATES).neighbors);
        });
        let first = 0;
        let mates = 0;
        let common = 0;
        for (const [i, near] of found.entries()) {
          common += truth[i]!.filter((slot) => near.includes(slot)).length;
          if (truth[i]![0] !== slots[i]) continue;
          mates++;
          if (near[0] === slots[i]) first++;
        }
        const what = `${dimension} dimensions, ${links} links, ef ${ef}`;
        figures.push(
          figure(`${what}: mate first`, '%', [(100 * first) / mates]),
          figure(`${what}: recall of ten`, '%', [(100 * common) / (MATES * CANDIDATES)]),
          figure(`${what}: a search`, 'ms CPU', [ms / MATES]),
        );
      }
    }
  }
  return { figures, ratios: [] };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
