import Table from 'cli-table3';
import type { RetentionBound, RewriteRate } from '#kafka/retention-bounds.js';
import type { TopicReport } from '#kafka/topic-admin.js';

/** What an erasure takes in the logs, and what that costs. */
export interface ErasureBound {
  /** Of the slowest compacted topic; undefined before there is one. */
  readonly destroyedAfterMs: number | undefined;
  /** What the data-protection officer was promised: ERASURE_DESTRUCTION_SECONDS. */
  readonly promisedMs: number;
  /** What the busiest broker writes at worst. */
  readonly rewriteBytesPerSecond: number;
  /** LOG_REWRITE_BYTES_PER_SECOND. */
  readonly budgetBytesPerSecond: number;
}

export interface TopicsResult extends TopicReport {
  readonly retention: readonly RetentionBound[];
  readonly rewriting: readonly RewriteRate[];
  readonly erasure: ErasureBound;
}

const MIB = 1024 * 1024;
const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
];

export function printTopics(result: TopicsResult): void {
  for (const line of topicsText(result)) process.stdout.write(`${line}\n`);
}

export function topicsText({ created, altered, unchanged, differing, leftAlone, ...measured }: TopicsResult): string[] {
  const { retention, rewriting, erasure } = measured;
  const left = (topic: string, setting: string) =>
    leftAlone.find((one) => one.topic === topic && one.setting === setting);
  const promised = duration(erasure.promisedMs);
  const after = erasure.destroyedAfterMs === undefined ? 'unknown' : duration(erasure.destroyedAfterMs);
  return [
    ...created.map((name) => `created    ${name}`),
    ...altered.map((name) => `altered    ${name}`),
    ...unchanged.map((name) => `as wanted  ${name}`),
    ...differing.flatMap(({ topic, setting, wanted, found }) => {
      const alone = left(topic, setting);
      const line = `differs    ${topic}: ${setting} is ${found}, wanted ${wanted}`;
      return alone === undefined
        ? [line]
        : [line, `           left alone: ${alone.why}`, `           by hand: ${alone.byHand}`];
    }),
    ...(retention.length > 0 ? ['', retentionTable(retention, rewriting), ''] : []),
    `erasures   leave every log within ${after}, and the time of the cleaning itself; promised are ${promised}`,
    `           for that a broker writes ${perSecond(erasure.rewriteBytesPerSecond)} at worst; it may write ${perSecond(erasure.budgetBytesPerSecond)}`,
  ];
}

function retentionTable(retention: readonly RetentionBound[], rewriting: readonly RewriteRate[]): string {
  const table = new Table({
    head: ['topic', 'a record is gone after', 'what is superseded, after', 'log', 'rewritten at worst'],
    style: { head: [], border: [] },
  });
  for (const { topic, keptAtMostMs, supersededAtMostMs } of retention) {
    const rate = rewriting.find((one) => one.topic === topic);
    table.push([
      topic,
      keptAtMostMs === undefined ? '–' : duration(keptAtMostMs),
      supersededAtMostMs === undefined ? '–' : duration(supersededAtMostMs),
      rate === undefined ? '–' : `${(rate.sizeBytes / MIB).toPrecision(3)} MiB`,
      rate === undefined ? '–' : perSecond(rate.bytesPerSecond),
    ]);
  }
  return table.toString();
}

function perSecond(bytes: number): string {
  return `${(bytes / MIB).toPrecision(3)} MiB/s`;
}

function duration(ms: number): string {
  if (ms === Infinity) return 'never';
  for (const [name, unitMs] of UNITS) {
    if (ms >= 2 * unitMs) return `${Number((ms / unitMs).toFixed(2))} ${name}`;
  }
  return `${Number((ms / 1000).toFixed(1))} s`;
}
