/**
 * `custody evaluate`: how often the model pack finds, misses and confuses the people of a folder, and which threshold
 * that supports. Needs the pack and the photographs, no running system; nothing of either leaves this machine.
 *
 * Photographs → templates (the services' own pipeline) → figures (libs/evaluation) → degraded probes → JSON, HTML,
 * thresholds.
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, resolve } from 'node:path';
import { SingleBar } from 'cli-progress';
import { Refusal } from '#domain/errors.js';
import type { FaceChoice } from '#domain/face.js';
import { degradedFigures } from '#evaluation/degraded.js';
import {
  canBeEvaluated,
  evaluate,
  MATED_SUBJECTS_MIN,
  SUBJECTS_MIN,
  type EvaluationFigures,
} from '#evaluation/evaluation.js';
import {
  evaluationReportSchema,
  REPORT_FORMAT,
  REPORT_VERSION,
  type EvaluationReport,
  type ReportedDegradation,
} from '#evaluation/report.js';
import { rounded } from '#evaluation/reported.js';
import { IMAGES_MAX } from '#evaluation/score-table.js';
import { FacePool } from '#face/face-pool.js';
import { loadModelPack } from '#face/model-pack.js';
import { softwareVersion } from '#platform/software-version.js';
import { DEGRADATIONS } from './evaluate-degradations.js';
import { readGroups, readNames, readSubjects } from './evaluate-folder.js';
import { reportHtml } from './evaluate-html.js';
import { labelCheckCsv } from './evaluate-labels.js';
import { summaryOf } from './evaluate-summary.js';
import { degradedTemplates, templatesOf, type PipelineUse, type SubjectTemplates } from './evaluate-templates.js';
import { thresholdsOf } from './evaluate-thresholds.js';
import { localModelPackFolder } from './local-assets.js';

const CONFIDENCE_LEVEL = 0.95;

export interface EvaluateOptions {
  readonly out: string;
  readonly html?: string;
  readonly groups?: string;
  readonly leaveOut?: string;
  readonly face?: FaceChoice;
  readonly fpir: number;
  /** As many as there are people in the folder when it is left out. */
  readonly gallerySize?: number;
  readonly thresholds?: string;
  readonly labelCheck?: string;
  readonly seed: number;
  readonly splits: number;
  readonly replicates: number;
  /** Probes that are made worse, each in every way; 0 leaves that part out. */
  readonly degraded: number;
}

/**
 * @throws Refusal SOURCE_NOT_FOUND, BAD_ROW, EVALUATION_TOO_SMALL, EVALUATION_TOO_LARGE; THRESHOLDS_UNSUPPORTED when the
 * report is written and the thresholds are not
 * @throws Failure of the model pack and of the pipeline
 */
export async function evaluateFolder(folder: string, options: EvaluateOptions): Promise<void> {
  const leftOut = options.leaveOut === undefined ? new Set<string>() : await readNames(options.leaveOut);
  const everybody = await readSubjects(folder);
  const subjects = everybody.filter(({ subject }) => !leftOut.has(subject));
  const groups =
    options.groups === undefined ? new Map<string, Record<string, string>>() : await readGroups(options.groups);
  const images = subjects.reduce((sum, subject) => sum + subject.images.length, 0);
  if (images > IMAGES_MAX) {
    throw new Refusal('EVALUATION_TOO_LARGE', `${folder} has ${images} images; the limit is ${IMAGES_MAX}.`);
  }
  const packFolder = await localModelPackFolder(say);
  const { manifest, modelId } = await loadModelPack(packFolder);
  const { licence } = manifest;
  say(`model ${manifest.name} ${manifest.version} (${modelId}), licence ${licence.spdx}, ${licence.holder}`);

  const processes = availableParallelism();
  const pool = await FacePool.open({ packFolder, processes });
  try {
    const people = await withBar('photographs', images, (bar) =>
      templatesOf(subjects, { pool, processes, face: options.face, onImage: () => bar.increment() }),
    );
    const evaluated = people.map(({ subject, templates, failures }) => ({
      templates: templates.map(({ template }) => template),
      failures,
      groups: groups.get(subject) ?? {},
    }));
    if (!canBeEvaluated(evaluated)) {
      throw new Refusal(
        'EVALUATION_TOO_SMALL',
        `${folder} has fewer than ${SUBJECTS_MIN} people with a template, or fewer than ${MATED_SUBJECTS_MIN} with two.`,
      );
    }
    const gallerySize = options.gallerySize ?? subjects.length;
    const figures = await evaluate(evaluated, {
      ...options,
      confidenceLevel: CONFIDENCE_LEVEL,
      wanted: { fpir: options.fpir, gallerySize },
      onStep: (step) => say(`measured: ${step}`),
    });
    const degraded = await degradedPart(people, figures, { pool, processes, face: options.face }, options.degraded);
    const { searchScore: _, data, ...parts } = figures;
    const report = evaluationReportSchema.parse({
      format: REPORT_FORMAT,
      version: REPORT_VERSION,
      generatedAt: new Date().toISOString(),
      software: softwareVersion(),
      model: {
        modelId,
        name: manifest.name,
        version: manifest.version,
        licence: licence.spdx,
        evaluationOnly: licence.evaluationOnly,
      },
      data: {
        name: basename(resolve(folder)),
        ...data,
        subjectsLeftOut: everybody.length - subjects.length,
        face: options.face === undefined ? 'none' : String(options.face),
      },
      ...parts,
      degraded,
    });
    await writeReport(report, people, options);
  } finally {
    await pool.close();
  }
}

async function writeReport(
  report: EvaluationReport,
  people: readonly SubjectTemplates[],
  options: EvaluateOptions,
): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(report, null, 2)}\n`);
  await writeFile(options.out, bytes);
  if (options.html !== undefined) await writeFile(options.html, reportHtml(report));
  if (options.labelCheck !== undefined) await writeFile(options.labelCheck, labelCheckCsv(people));
  process.stdout.write(summaryOf(report));
  say(`written: ${[options.out, options.html, options.labelCheck].filter((file) => file !== undefined).join(', ')}`);
  if (options.thresholds === undefined) return;
  await writeFile(options.thresholds, `${JSON.stringify(thresholdsOf(report, bytes), null, 2)}\n`);
  say(`proposed thresholds: ${options.thresholds}, for POST /v1/thresholds; two people decide`);
}

/** The second photograph of people who have one, spread evenly over all, against everybody's first. */
async function degradedPart(
  people: readonly SubjectTemplates[],
  { searchScore, method }: EvaluationFigures,
  use: Omit<PipelineUse, 'onImage'>,
  probesMax: number,
): Promise<EvaluationReport['degraded']> {
  const present = people.filter(({ templates }) => templates.length > 0);
  const gallery = present.map(({ templates }) => templates[0]!.template);
  const withMates = present.flatMap(({ templates }, subject) =>
    templates[1] === undefined ? [] : [{ subject, image: templates[1] }],
  );
  const every = Math.max(1, withMates.length / Math.max(1, probesMax));
  const count = Math.min(probesMax, withMates.length);
  const probes = Array.from({ length: count }, (_, i) => withMates[Math.floor(i * every)]!);
  if (probes.length === 0) return { score: null, enrolled: gallery.length, levels: [] };

  const asTheyAre = { kind: 'none', level: null, text: 'as they are' };
  const figuresOf = (level: Parameters<typeof degradedFigures>[0], outcomes: readonly (Float32Array | string)[]) =>
    degradedFigures(
      level,
      gallery,
      probes.map(({ subject }, i) => ({ subject, outcome: outcomes[i]! })),
      searchScore,
      method.confidenceLevel,
    );
  const levels: ReportedDegradation[] = [
    figuresOf(
      asTheyAre,
      probes.map(({ image }) => image.template),
    ),
  ];
  const images = probes.map(({ image }) => image);
  await withBar('degraded probes', probes.length * DEGRADATIONS.length, async (bar) => {
    for (const degradation of DEGRADATIONS) {
      levels.push(
        figuresOf(
          degradation,
          await degradedTemplates(images, degradation, { ...use, onImage: () => bar.increment() }),
        ),
      );
    }
  });
  return { score: rounded(searchScore), enrolled: gallery.length, levels };
}

async function withBar<T>(what: string, total: number, work: (bar: SingleBar) => Promise<T>): Promise<T> {
  const bar = new SingleBar({
    format: `${what} [{bar}] {percentage}% | {value}/{total} | {eta_formatted} to go`,
    noTTYOutput: true,
    notTTYSchedule: 5_000,
    etaBuffer: 200,
  });
  bar.start(total, 0);
  return work(bar).finally(() => bar.stop());
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
