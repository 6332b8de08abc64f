/**
 * An evaluation report as it is written in JSON: what was measured, on how many, how sure it is. It names groups and
 * counts, never a person, an image or a template, so that it can be published.
 *
 * `docs/evaluation/report.schema.json` is made from this (a test compares them). A change that a reader would have to
 * know about raises `version`.
 */
import { z } from 'zod';
import { GROUP_MEASURES } from './group-rates.js';

export const REPORT_FORMAT = 'custody-face-search/evaluation';
export const REPORT_VERSION = 1;

const count = z.int().nonnegative();
const share = z.number().min(0).max(1);
const score = z.number();
const interval = z
  .strictObject({ low: z.number().nullable(), high: z.number().nullable() })
  .describe('confidence interval at method.confidenceLevel; null is unbounded');
const spread = z.strictObject({ mean: z.number(), standardDeviation: z.number(), p5: z.number(), p95: z.number() });
const support = z
  .enum(['supported', 'weak', 'unsupported'])
  .describe('supported: at least 30 different people (pairs, for FMR) made the errors it rests on; weak: at least 10');

const rateOf = z.strictObject({ rate: share, count, of: count, interval });
const codeCounts = z.array(z.strictObject({ code: z.string(), count }));

const operatingPoint = z.strictObject({
  fpir: share.describe('false positive identification rate that is wanted'),
  score: score.describe('threshold at which it is reached, all splits together'),
  scoreInterval: interval,
  scoreOfSplits: spread,
  fnir: share.describe('false negative identification rate at that threshold'),
  fnirInterval: interval,
  fnirOfSplits: spread.describe('each split at its own threshold'),
  fnirWithFailures: share.describe('the same with people whose image gave no template counted as missed'),
  falsePositiveSubjects: count,
  support,
});

const openSet = z.strictObject({
  enrolled: count,
  splits: count,
  nonMatedProbes: count,
  matedProbes: count,
  operatingPoints: z.array(operatingPoint),
  det: z.array(z.strictObject({ score, fpir: share, fnir: share })),
});

const groupRate = z.strictObject({
  rate: share.nullable(),
  interval,
  errors: count,
  trials: count,
  errorSubjects: count,
});

const groupAttribute = z.strictObject({
  attribute: z.string(),
  groups: z.array(
    z.strictObject({
      group: z.string(),
      subjects: count,
      fmr: groupRate,
      fnmr: groupRate,
      fpir: groupRate,
      fnir: groupRate,
      failureToEnrol: rateOf,
    }),
  ),
  differences: z.array(
    z.strictObject({
      measure: z.enum(GROUP_MEASURES),
      higher: z.string(),
      lower: z.string(),
      ratio: z.number().nullable(),
      interval: interval.describe('of the ratio; at the level of all comparisons of the attribute together'),
      verdict: z.enum(['difference-shown', 'not-shown', 'too-few-errors']),
      text: z.string(),
    }),
  ),
});

const degraded = z.strictObject({
  kind: z.string(),
  level: z.number().nullable(),
  text: z.string(),
  probes: count,
  noTemplate: codeCounts,
  rank1: rateOf,
  rank10: rateOf,
  missed: rateOf.describe(
    'probes without a template, or whose mate is below the threshold of FPIR .01 (degradedScore)',
  ),
});

const band = z.strictObject({
  enrolledMax: count,
  score,
  scoreInterval: interval,
  basis: z.enum(['measured', 'fitted', 'extrapolated']),
  extrapolationFactor: z.number(),
  fpir: share.describe('as wanted; measured only where basis is measured'),
  fnir: share.nullable(),
  fnirInterval: interval,
  groups: z.array(z.strictObject({ group: z.string(), fpir: share, fnir: share })),
});

const proposal = z.strictObject({
  wanted: z.strictObject({ fpir: share, gallerySize: count }),
  supported: z.boolean().describe('whether the last band reaches the wanted gallery'),
  text: z.string(),
  model: z
    .strictObject({
      form: z.literal('score = intercept + slope * (ln N - ln(-ln(1 - fpir)))'),
      intercept: z.number(),
      slope: z.number(),
      points: count,
      backtest: z
        .strictObject({
          factor: z.number(),
          enrolled: count,
          fpir: share,
          predicted: score,
          measured: score,
        })
        .nullable(),
    })
    .nullable(),
  bands: z.array(band),
});

export const evaluationReportSchema = z.strictObject({
  format: z.literal(REPORT_FORMAT),
  version: z.literal(REPORT_VERSION),
  generatedAt: z.iso.datetime(),
  software: z.string(),
  model: z.strictObject({
    modelId: z.string(),
    name: z.string(),
    version: z.string(),
    licence: z.string(),
    evaluationOnly: z.boolean(),
  }),
  data: z.strictObject({
    name: z.string(),
    images: count,
    templates: count,
    subjects: count.describe('with at least one template'),
    subjectsWithMates: count.describe('with at least two'),
    subjectsLeftOut: count,
    face: z.string().describe('which face of an image with several was taken; none: such an image gave no template'),
    attributes: z.array(z.string()),
  }),
  method: z.strictObject({
    seed: z.int(),
    splits: count,
    replicates: count,
    confidenceLevel: share,
  }),
  failureToEnrol: rateOf.extend({ byReason: codeCounts }),
  closedSet: z.strictObject({
    enrolled: count,
    probes: count,
    ranks: z.array(rateOf.extend({ rank: count })),
    cmc: z.array(z.strictObject({ rank: count, rate: share })),
    bySize: z.array(z.strictObject({ enrolled: count, rank1: share, rank10: share, rank50: share })),
  }),
  openSet: z.array(openSet).describe('by gallery size, the half of the subjects among them; ascending'),
  verification: z.strictObject({
    matedPairs: count,
    nonMatedPairs: count,
    points: z.array(
      z.strictObject({ fmr: share, score, tar: share, tarInterval: interval, falseMatches: count, support }),
    ),
    det: z.array(z.strictObject({ score, fmr: share, fnmr: share })),
  }),
  distributions: z.strictObject({
    from: z.number(),
    binWidth: z.number(),
    mated: z.array(count),
    nonMated: z.array(count),
  }),
  groups: z.strictObject({
    pairScore: score.nullable().describe('threshold of FMR and FNMR: that of an FMR of .001 over everybody'),
    searchScore: score.nullable().describe('threshold of FPIR and FNIR: that of an FPIR of .01 with half enrolled'),
    attributes: z.array(groupAttribute),
  }),
  degraded: z.strictObject({ score: score.nullable(), enrolled: count, levels: z.array(degraded) }),
  proposal,
  notes: z.array(z.string()),
});

export type EvaluationReport = z.infer<typeof evaluationReportSchema>;
export type ReportedInterval = z.infer<typeof interval>;
export type ReportedRate = z.infer<typeof rateOf>;
export type ReportedSupport = z.infer<typeof support>;
export type ReportedOpenSet = EvaluationReport['openSet'][number];
export type ReportedAttribute = EvaluationReport['groups']['attributes'][number];
export type ReportedDegradation = EvaluationReport['degraded']['levels'][number];
export type ReportedBand = EvaluationReport['proposal']['bands'][number];
export type ThresholdProposal = EvaluationReport['proposal'];
