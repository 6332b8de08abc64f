/**
 * For how long what is to go can still be in a broker's files, from the settings that are in force: what a topic is
 * promised to keep is not what it really keeps, because a broker works on whole segments, and looks now and then.
 *
 * Deleted by age: a segment goes when its youngest record is too old, so that its oldest waits for one more `segment.ms`;
 * a broker looks every `log.retention.check.interval.ms`; the file goes `file.delete.delay.ms` later. Where producers set
 * the time, a record may be dated `message.timestamp.after.max.ms` ahead.
 *
 * Compacted: a value that is superseded goes when its successor is in a closed segment, at the latest when that is
 * `max.compaction.lag.ms` old. A segment is closed by an append after `segment.ms` (or that lag, where it is less); who
 * erases makes that append. The cleaner looks every `log.cleaner.backoff.ms`, then takes its time for the cleaning itself,
 * which is not in the bound, and the former file goes `file.delete.delay.ms` later.
 */
import type { LogSize } from './admin-requests.js';

export type SettingsInForce = ReadonlyMap<string, string>;

export interface RetentionBound {
  readonly topic: string;
  /** Without limit: Infinity. Absent where nothing is deleted by age. */
  readonly keptAtMostMs?: number;
  /** Without limit: Infinity. Absent where nothing is compacted. */
  readonly supersededAtMostMs?: number;
}

export interface RewriteRate {
  readonly topic: string;
  /** On the broker with most of it. */
  readonly sizeBytes: number;
  readonly withinMs: number;
  /** When every partition is dirty all the time; as many are read. */
  readonly bytesPerSecond: number;
}

/** When whoever erases appends what closes the segment: `segment.ms` and a little. */
const CLOSED_LATER_MS = 500;

/** @param broker of the brokers' settings those that are in force for all topics; the slowest broker's where they differ */
export function retentionBound(topic: string, settings: SettingsInForce, broker: SettingsInForce): RetentionBound {
  const policy = (settings.get('cleanup.policy') ?? 'delete').split(',').map((part) => part.trim());
  const segmentMs = milliseconds(settings, 'segment.ms');
  const fileDeleteMs = milliseconds(settings, 'file.delete.delay.ms');
  const bound: { topic: string; keptAtMostMs?: number; supersededAtMostMs?: number } = { topic };
  if (policy.includes('delete')) {
    const aheadMs =
      settings.get('message.timestamp.type') === 'LogAppendTime'
        ? 0
        : milliseconds(settings, 'message.timestamp.after.max.ms');
    bound.keptAtMostMs =
      milliseconds(settings, 'retention.ms') +
      segmentMs +
      aheadMs +
      milliseconds(broker, 'log.retention.check.interval.ms') +
      fileDeleteMs;
  }
  if (policy.includes('compact')) {
    const lagMs = milliseconds(settings, 'max.compaction.lag.ms');
    const closedMs = Math.min(segmentMs, lagMs) + CLOSED_LATER_MS;
    bound.supersededAtMostMs =
      Math.max(lagMs, closedMs) + milliseconds(broker, 'log.cleaner.backoff.ms') + fileDeleteMs;
  }
  return bound;
}

/**
 * What compacting within the bound makes a broker write: a partition in which something was superseded is rewritten
 * whole, so that at worst each is, every `max.compaction.lag.ms`.
 *
 * @param sizes every replica, a broker's together; by broker
 */
export function rewriteRate(
  topic: string,
  config: SettingsInForce,
  sizes: readonly (readonly LogSize[])[],
): RewriteRate {
  const ofBrokers = sizes.map((logs) =>
    logs.reduce((sum, log) => (log.topic === topic ? sum + log.sizeBytes : sum), 0),
  );
  const sizeBytes = Math.max(0, ...ofBrokers);
  const compacted = (config.get('cleanup.policy') ?? 'delete').includes('compact');
  const withinMs = compacted ? milliseconds(config, 'max.compaction.lag.ms') : Infinity;
  return { topic, sizeBytes, withinMs, bytesPerSecond: (sizeBytes * 1000) / Math.max(1, withinMs) };
}

/** Brokers are set alike, or should be: of each number the largest, so that the bound holds on every one. */
export function slowestOf(brokers: readonly SettingsInForce[]): SettingsInForce {
  const slowest = new Map<string, string>();
  for (const settings of brokers) {
    for (const [name, value] of settings) {
      const known = slowest.get(name);
      if (known === undefined || Number(value) > Number(known)) slowest.set(name, value);
    }
  }
  return slowest;
}

/** Kafka's largest number, and -1, are without limit. A setting that a broker does not name it does not have. */
function milliseconds(settings: SettingsInForce, name: string): number {
  const value = Number(settings.get(name) ?? 0);
  return value < 0 || value >= Number.MAX_SAFE_INTEGER ? Infinity : value;
}
