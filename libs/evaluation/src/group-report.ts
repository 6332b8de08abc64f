/** What is shown about groups of people, in numbers and in words that claim no more than the numbers. */
import { exactInterval } from './counting.js';
import { compareGroups, ERRORS_MIN, type GroupData, type GroupDifference, type GroupMeasure } from './group-rates.js';
import { drawWeights, percentileInterval } from './intervals.js';
import type { BootstrapSize } from './open-set.js';
import type { Random } from './random.js';
import { reportedInterval, rounded, roundedOrNull } from './reported.js';
import type { ReportedAttribute, ReportedRate } from './report.js';

/** Of one person: images, and how many of them gave no template. */
export interface EnrolmentTally {
  readonly images: number;
  readonly failures: number;
}

const MEASURE_TEXT: Readonly<Record<GroupMeasure, string>> = {
  fmr: 'Two different people are taken for one',
  fnmr: 'One person is taken for two',
  fpir: 'A search for somebody who is not enrolled shows somebody',
  fnir: 'A search misses somebody who is enrolled',
};

/**
 * @param groupOf by subject of the table
 * @param enrolment of everybody in a group, those without any template among them
 */
export function reportGroups(
  attribute: string,
  data: GroupData,
  groupOf: readonly (string | undefined)[],
  enrolment: ReadonlyMap<string, readonly EnrolmentTally[]>,
  size: BootstrapSize,
  random: Random,
): ReportedAttribute {
  const { groups, differences } = compareGroups(data, groupOf, size, random);
  return {
    attribute,
    groups: groups.map(({ group, subjects, rates }) => {
      const reported = (measure: GroupMeasure) => {
        const { rate, interval, errors, trials, errorSubjects } = rates[measure];
        return { rate: roundedOrNull(rate), interval: reportedInterval(interval), errors, trials, errorSubjects };
      };
      return {
        group,
        subjects,
        fmr: reported('fmr'),
        fnmr: reported('fnmr'),
        fpir: reported('fpir'),
        fnir: reported('fnir'),
        failureToEnrol: failureRate(enrolment.get(group) ?? [], size, random),
      };
    }),
    differences: differences.map((found) => ({
      measure: found.measure,
      higher: found.higher,
      lower: found.lower,
      ratio: roundedOrNull(found.ratio),
      interval: reportedInterval(found.interval),
      verdict: found.verdict,
      text: verdictText(found, size.level),
    })),
  };
}

/** Plain words for one comparison. */
export function verdictText(
  { measure, higher, lower, ratio, interval, verdict }: GroupDifference,
  level: number,
): string {
  const what = MEASURE_TEXT[measure];
  const range = `${times(interval.low)} to ${times(interval.high)}, ${Math.round(level * 100)} % for all comparisons together`;
  switch (verdict) {
    case 'difference-shown':
      return `${what} ${times(ratio)} times as often in ${higher} as in ${lower} (${range}). The data show a difference.`;
    case 'not-shown':
      return (
        `${what} ${times(ratio)} times as often in ${higher} as in ${lower} (${range}). The data do not show a difference; ` +
        `neither do they show that there is none: one of up to ${times(Math.max(interval.high, 1 / interval.low))} times is not excluded.`
      );
    case 'too-few-errors':
      return `${what}: fewer than ${ERRORS_MIN} people in ${higher} and ${lower} together met this error. Nothing can be said about a difference.`;
  }
}

function times(ratio: number): string {
  if (!Number.isFinite(ratio)) return 'any number of';
  return ratio >= 10 ? ratio.toFixed(0) : Number(ratio.toPrecision(2)).toString();
}

/** Over people: images of one person fail together. */
export function failureRate(people: readonly EnrolmentTally[], size: BootstrapSize, random: Random): ReportedRate {
  const rate = (weights?: Int32Array): number => {
    let failures = 0;
    let images = 0;
    people.forEach((person, i) => {
      const weight = weights?.[i] ?? 1;
      failures += weight * person.failures;
      images += weight * person.images;
    });
    return failures / images;
  };
  const count = people.reduce((sum, person) => sum + person.failures, 0);
  const of = people.reduce((sum, person) => sum + person.images, 0);
  const samples = (): number[] =>
    Array.from({ length: size.replicates }, () => rate(drawWeights(people.length, random)));
  return {
    rate: of === 0 ? 0 : rounded(count / of),
    count,
    of,
    interval: reportedInterval(
      count === 0 ? exactInterval(0, people.length, size.level) : percentileInterval(samples(), size.level),
    ),
  };
}
