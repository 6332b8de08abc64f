/** Photographs → templates, by the pipeline that the services run; what was refused is counted, what failed ends it. */
import { readFile } from 'node:fs/promises';
import { Refusal } from '#domain/errors.js';
import type { FaceChoice, FaceLandmarks } from '#domain/face.js';
import { degradeImage, type Degradation } from '#face/degraded-image.js';
import type { FacePool } from '#face/face-pool.js';
import type { SubjectImages } from './evaluate-folder.js';

/** Enough for every process to have one waiting, and few photographs in memory. */
const IN_FLIGHT_PER_PROCESS = 2;

export interface TemplateOfImage {
  readonly path: string;
  readonly template: Float32Array;
  readonly eyeDistancePx: number;
}

/** A person's photographs, each a template or the code of why there is none, in the order of their names. */
export interface SubjectTemplates {
  readonly subject: string;
  readonly templates: readonly TemplateOfImage[];
  readonly failures: readonly string[];
}

export interface PipelineUse {
  readonly pool: FacePool;
  readonly processes: number;
  readonly face: FaceChoice | undefined;
  /** Told after each photograph. */
  readonly onImage: () => void;
}

/** @throws Failure of the pipeline: a figure without the photographs that failed would not be one of this folder */
export async function templatesOf(subjects: readonly SubjectImages[], use: PipelineUse): Promise<SubjectTemplates[]> {
  const outcomes: (TemplateOfImage | string)[][] = subjects.map(() => []);
  const images = subjects.flatMap(({ images: paths }, s) => paths.map((path, place) => ({ path, s, place })));
  await inParallel(images, use.processes * IN_FLIGHT_PER_PROCESS, async ({ path, s, place }) => {
    outcomes[s]![place] = await outcomeOf(async () => {
      const { embedded } = await use.pool.process(await readFile(path), use.face);
      return { path, template: embedded.template, eyeDistancePx: eyeDistance(embedded.landmarks) };
    });
    use.onImage();
  });
  return subjects.map(({ subject }, s) => ({
    subject,
    templates: outcomes[s]!.filter((outcome) => typeof outcome !== 'string'),
    failures: outcomes[s]!.filter((outcome) => typeof outcome === 'string'),
  }));
}

/** @returns for each photograph the template of its degraded copy, or the code of why there is none */
export async function degradedTemplates(
  probes: readonly TemplateOfImage[],
  degradation: Degradation,
  use: PipelineUse,
): Promise<(Float32Array | string)[]> {
  const outcomes: (Float32Array | string)[] = [];
  await inParallel([...probes.entries()], use.processes * IN_FLIGHT_PER_PROCESS, async ([i, probe]) => {
    outcomes[i] = await outcomeOf(async () => {
      const bytes = await degradeImage(await readFile(probe.path), degradation, probe.eyeDistancePx);
      return (await use.pool.process(bytes, use.face)).embedded.template;
    });
    use.onImage();
  });
  return outcomes;
}

async function outcomeOf<T>(work: () => Promise<T>): Promise<T | string> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
}

function eyeDistance({ leftEye, rightEye }: FaceLandmarks): number {
  return Math.hypot(rightEye.x - leftEye.x, rightEye.y - leftEye.y);
}

async function inParallel<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
