/**
 * Whatever bytes come in, the decoder gives upright pixels or a refusal with a code, within its limits and its memory; and
 * so does the whole pipeline, without losing a process. A run is repeated with FUZZ_SEED; FUZZ_RUNS sets its length.
 */
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { CodedError } from '#domain/errors.js';
import { decodeImage } from '#face/decode.js';
import { FacePool } from '#face/face-pool.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { haveFaces, people } from '../accuracy/faces.js';
import { imageFiles } from './image-files.js';
import { spoil } from './spoil-image.js';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 20_000);
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** Every so manyth goes through detection and embedding as well. */
const WHOLE_PIPELINE_EVERY = 20;
/** After this share of the runs memory has reached what it needs. */
const WARM_SHARE = 0.1;
const RSS_GROWTH_MAX = 1.25;
/** Mutations that are refused by size or magic number say nothing about the decoder. */
const REACHED_DECODER_MIN = 0.5;
const REPORT_EVERY = 2_000;
/** What is said before the decoder is asked. */
const BEFORE_DECODER = new Set(['IMAGE_EMPTY', 'IMAGE_FORMAT_UNSUPPORTED']);
const DECODER_CODES = new Set([
  ...BEFORE_DECODER,
  'IMAGE_TOO_LARGE',
  'IMAGE_TOO_SMALL',
  'IMAGE_UNREADABLE',
  'IMAGE_DECODE_TIMEOUT',
]);
const PIPELINE_CODES = new Set([...DECODER_CODES, 'NO_FACE', 'FACE_UNUSABLE']);

const fetched = await unlessOffline(Promise.all([modelPackFolderForTests(), samplePhotographsForTests()]));

test.skipIf(fetched === undefined)(
  `${RUNS} spoiled images`,
  async () => {
    const [packFolder, sample] = fetched!;
    report(`seed ${SEED} (FUZZ_SEED), ${RUNS} images (FUZZ_RUNS)`);
    const files = await imageFiles([
      ...(await Promise.all(sample.manifest.enrolled.slice(0, 3).map((face) => faceImage(sample, face)))),
      ...(await photographsOfFaces(5)),
    ]);
    const lost: string[] = [];
    const pool = await FacePool.open({
      packFolder,
      processes: availableParallelism(),
      onProcessLost: (how) => lost.push(how),
    });
    const outcomes = new Map<string, number>();
    const whole = new Map<string, number>();
    const warm = { own: 0, processes: 0 };
    try {
      for (let run = 0; run < RUNS; run++) {
        const { how, bytes } = spoil(files, SEED + run);
        const outcome = await codeOf(decodeImage(bytes));
        count(outcomes, outcome);
        expect(outcome === 'decoded' || DECODER_CODES.has(outcome), `run ${run}, ${how}: ${outcome}`).toBe(true);
        if (run % WHOLE_PIPELINE_EVERY === 0) {
          const found = await codeOf(pool.process(bytes, 'largest', { uprightJpeg: true }));
          count(whole, found);
          expect(found === 'decoded' || PIPELINE_CODES.has(found), `run ${run}, ${how}: ${found}`).toBe(true);
        }
        if (run === Math.floor(RUNS * WARM_SHARE)) Object.assign(warm, memory());
        if (run % REPORT_EVERY === 0) report(`${run}: ${JSON.stringify(memory())}`);
      }
      const end = memory();
      const reached = RUNS - [...BEFORE_DECODER].reduce((sum, code) => sum + (outcomes.get(code) ?? 0), 0);
      report(`decoder  ${JSON.stringify(Object.fromEntries(outcomes))}`);
      report(`pipeline ${JSON.stringify(Object.fromEntries(whole))}`);
      report(`${((100 * reached) / RUNS).toFixed(1)} % reached the decoder`);
      report(
        `resident: ${warm.own} to ${end.own} MiB here, ${warm.processes} to ${end.processes} MiB in the face processes`,
      );
      expect(reached / RUNS).toBeGreaterThan(REACHED_DECODER_MIN);
      expect(outcomes.get('IMAGE_DECODE_TIMEOUT') ?? 0).toBe(0);
      expect(lost).toEqual([]);
      expect(end.own).toBeLessThan(RSS_GROWTH_MAX * warm.own);
      expect(end.processes).toBeLessThan(RSS_GROWTH_MAX * warm.processes);
    } finally {
      await pool.close();
    }
  },
  4 * 3_600_000,
);

async function photographsOfFaces(number: number): Promise<Buffer[]> {
  if (!haveFaces) return [];
  return Promise.all((await people()).slice(0, number).map(({ images }) => readFile(images[0]!)));
}

/** @throws what has no code: a bug */
async function codeOf(outcome: Promise<unknown>): Promise<string> {
  try {
    await outcome;
    return 'decoded';
  } catch (error) {
    if (error instanceof CodedError) return error.code;
    throw error;
  }
}

function count(outcomes: Map<string, number>, code: string): void {
  outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
}

/** MiB that are resident, of this process and of those of the pool. */
function memory(): { own: number; processes: number } {
  const lines = execFileSync('ps', ['-eo', 'ppid,rss,args'], { encoding: 'utf8' }).split('\n');
  const kibibytes = lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([parent, , ...args]) => Number(parent) === process.pid && args.join(' ').includes('face-process.js'))
    .reduce((sum, [, rss]) => sum + Number(rss), 0);
  return { own: Math.round(process.memoryUsage.rss() / 2 ** 20), processes: Math.round(kibibytes / 1024) };
}

function report(line: string): void {
  process.stdout.write(`${line}\n`);
}
