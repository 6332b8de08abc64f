/** A whole report of people who do not exist: random templates, each person's near one another. */
import { evaluate } from './evaluation.js';
import { seededRandom } from './random.js';
import { REPORT_FORMAT, REPORT_VERSION, type EvaluationReport } from './report.js';

const PEOPLE = 60;
const DIMENSION = 24;
const LEVEL = 0.95;

/** 60 people in two groups, two images each and a third of one; three photographs gave no template. */
export async function evaluationOfInventedPeople(wanted: { readonly gallerySize: number }): Promise<EvaluationReport> {
  const random = seededRandom(7);
  const direction = (): Float32Array => Float32Array.from({ length: DIMENSION }, () => random() - 0.5);
  const near = (centre: Float32Array, noise: number): Float32Array => {
    const shift = direction();
    return unit(centre.map((component, d) => component + noise * shift[d]!));
  };
  const subjects = Array.from({ length: PEOPLE }, (_, i) => {
    const centre = unit(direction());
    return {
      templates: Array.from({ length: i === 0 ? 3 : 2 }, () => near(centre, 0.6)),
      failures: i < 2 ? ['NO_FACE'] : i === 2 ? ['MULTIPLE_FACES'] : [],
      groups: { sex: i % 2 === 0 ? 'F' : 'M' },
    };
  });
  const { searchScore, data, ...parts } = await evaluate(subjects, {
    seed: 1,
    splits: 20,
    replicates: 100,
    confidenceLevel: LEVEL,
    wanted: { fpir: 0.05, ...wanted },
  });
  return {
    format: REPORT_FORMAT,
    version: REPORT_VERSION,
    generatedAt: '2026-01-02T03:04:05.000Z',
    software: '0.0.0',
    model: { modelId: '0123456789abcdef', name: 'invented', version: '1', licence: 'MIT', evaluationOnly: true },
    data: { name: 'invented people', ...data, subjectsLeftOut: 0, face: 'none' },
    ...parts,
    degraded: { score: searchScore, enrolled: PEOPLE, levels: [] },
  };
}

function unit(values: Float32Array): Float32Array {
  const norm = Math.hypot(...values);
  return values.map((value) => value / norm);
}
