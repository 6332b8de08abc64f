/** A report's proposal as `POST /v1/thresholds` and `deploy/thresholds.json` take it. */
import { createHash } from 'node:crypto';
import { thresholdContentsSchema } from '#contracts/threshold-schemas.js';
import { Refusal } from '#domain/errors.js';
import { SEARCH_KINDS } from '#domain/governance.js';
import { checkThresholds, type ThresholdContents } from '#domain/threshold.js';
import type { EvaluationReport } from '#evaluation/report.js';

/**
 * @param reportBytes the report's file, which the thresholds name by its hash
 * @throws Refusal THRESHOLDS_UNSUPPORTED when the data do not reach the wanted gallery
 */
export function thresholdsOf(report: EvaluationReport, reportBytes: Uint8Array): ThresholdContents {
  const { proposal, model } = report;
  if (!proposal.supported) throw new Refusal('THRESHOLDS_UNSUPPORTED', proposal.text);
  const bands = proposal.bands.map(({ enrolledMax, score, fpir, fnir, groups }) => ({
    enrolledMax,
    score,
    fpir,
    // Nobody was missed among so few: half a person stands for none, because a rate of zero would promise too much.
    fnir: fnir === null || fnir === 0 ? leastRate(report) : fnir,
    groups,
  }));
  const contents = thresholdContentsSchema.parse({
    evaluation: {
      reportSha256: createHash('sha256').update(reportBytes).digest('hex'),
      description: describe(report),
    },
    profiles: SEARCH_KINDS.map((kind) => ({ modelId: model.modelId, kind, bands })),
  });
  checkThresholds(contents, true);
  return contents;
}

/** For the two people who decide: on whom, and which bands nobody measured. */
function describe({ data, model, method, proposal }: EvaluationReport): string {
  const beyond = proposal.bands.filter(({ basis }) => basis !== 'measured');
  const bands = beyond.map(
    ({ enrolledMax, basis, extrapolationFactor }) =>
      `${enrolledMax} (${basis}${basis === 'extrapolated' ? `, ${extrapolationFactor.toFixed(1)} times beyond what was measured` : ''})`,
  );
  return [
    `${data.name}: ${data.templates} photographs of ${data.subjects} people.`,
    `Model pack ${model.modelId} (${model.name} ${model.version}), face: ${data.face}, one image enrolled a person.`,
    `False positive identification rate ${proposal.wanted.fpir} over ${method.splits} random splits for each gallery size.`,
    bands.length === 0
      ? 'Every band was measured.'
      : `Bands that were not measured, their FPIR taken from a line through the measured ones: ${bands.join(', ')}.`,
    data.attributes.length === 0 ? 'Not measured by groups of people.' : `By groups: ${data.attributes.join(', ')}.`,
    ...(model.evaluationOnly ? ['The model pack is for evaluation only.'] : []),
  ].join(' ');
}

function leastRate({ data }: EvaluationReport): number {
  return 0.5 / data.subjectsWithMates;
}
