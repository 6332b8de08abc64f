import { describe, expect, it } from 'vitest';
import { retentionBound, rewriteRate, slowestOf } from './retention-bounds.js';

const settings = (all: Record<string, string>) => new Map(Object.entries(all));
const broker = settings({ 'log.retention.check.interval.ms': '300000', 'log.cleaner.backoff.ms': '15000' });
const NEVER = '9223372036854775807';

describe('how long a record is really kept', () => {
  it('is its age, a segment, a look of the broker and the delay of the file', () => {
    const topic = settings({
      'cleanup.policy': 'delete',
      'retention.ms': '60000',
      'segment.ms': '10000',
      'file.delete.delay.ms': '1000',
      'message.timestamp.type': 'LogAppendTime',
      'message.timestamp.after.max.ms': '3600000',
    });
    expect(retentionBound('t', topic, broker)).toEqual({ topic: 't', keptAtMostMs: 60_000 + 10_000 + 300_000 + 1_000 });
    const byProducer = new Map([...topic, ['message.timestamp.type', 'CreateTime']]);
    expect(retentionBound('t', byProducer, broker).keptAtMostMs).toBe(371_000 + 3_600_000);
  });

  it('is for ever without a limit', () => {
    const topic = settings({ 'cleanup.policy': 'delete', 'retention.ms': '-1', 'segment.ms': '10000' });
    expect(retentionBound('t', topic, broker).keptAtMostMs).toBe(Infinity);
  });
});

describe('how long what is superseded is really kept', () => {
  const compacted = (lagMs: string, segmentMs: string) =>
    settings({
      'cleanup.policy': 'compact',
      'max.compaction.lag.ms': lagMs,
      'segment.ms': segmentMs,
      'file.delete.delay.ms': '60000',
    });

  it('is the greatest lag, a look of the cleaner and the delay of the file', () => {
    expect(retentionBound('t', compacted('86400000', '21600000'), broker)).toEqual({
      topic: 't',
      supersededAtMostMs: 86_400_000 + 15_000 + 60_000,
    });
  });

  it('is what closing the segment takes, where that is longer', () => {
    expect(retentionBound('t', compacted('20000', '20000'), broker).supersededAtMostMs).toBe(20_500 + 75_000);
  });

  it('is for ever without a limit of the lag, whatever the share of what is dirty', () => {
    expect(retentionBound('t', compacted(NEVER, '10000'), broker).supersededAtMostMs).toBe(Infinity);
  });

  it('stands beside the age where a topic has both', () => {
    const both = new Map([
      ...compacted('20000', '10000'),
      ['cleanup.policy', 'compact,delete'],
      ['retention.ms', '60000'],
    ]);
    const bound = retentionBound('t', both, broker);
    expect(bound.supersededAtMostMs).toBeLessThan(bound.keptAtMostMs!);
  });
});

describe('what it costs a broker to forget in time', () => {
  const config = settings({ 'cleanup.policy': 'compact', 'max.compaction.lag.ms': '20000' });
  const logs = (...sizes: number[]) => sizes.map((sizeBytes, partition) => ({ topic: 't', partition, sizeBytes }));

  it('is the whole log for each time that it may wait, on the broker that has most of it', () => {
    const sizes = [
      logs(10_000_000, 20_000_000),
      [...logs(50_000_000), { topic: 'other', partition: 0, sizeBytes: 9e9 }],
    ];
    expect(rewriteRate('t', config, sizes)).toEqual({
      topic: 't',
      sizeBytes: 50_000_000,
      withinMs: 20_000,
      bytesPerSecond: 2_500_000,
    });
  });

  it('is nothing where nothing is compacted, or nothing has to be in time', () => {
    expect(rewriteRate('t', settings({ 'cleanup.policy': 'delete' }), [logs(1e9)]).bytesPerSecond).toBe(0);
    expect(
      rewriteRate('t', settings({ 'cleanup.policy': 'compact', 'max.compaction.lag.ms': NEVER }), [logs(1e9)])
        .bytesPerSecond,
    ).toBe(0);
  });
});

describe('brokers that are set differently', () => {
  it('count with the slowest', () => {
    const other = settings({ 'log.retention.check.interval.ms': '5000', 'log.cleaner.backoff.ms': '30000' });
    expect(Object.fromEntries(slowestOf([broker, other]))).toEqual({
      'log.retention.check.interval.ms': '300000',
      'log.cleaner.backoff.ms': '30000',
    });
  });
});
