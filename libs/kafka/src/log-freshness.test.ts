import { describe, expect, it } from 'vitest';
import { offset } from '#domain/ids.js';
import { LogFreshness } from './log-freshness.js';

describe('the freshness of a partition', () => {
  it('is behind since the last answer that had nothing new, and not any more when all is handled', () => {
    const freshness = new LogFreshness(offset(10), offset(10), 1_000);
    expect(freshness.behindSinceMs).toBeUndefined();
    freshness.sawEnd(offset(10), 2_000);
    freshness.sawEnd(offset(15), 2_500);
    expect(freshness.behindSinceMs).toBe(2_000);
    freshness.handledTo(offset(14));
    expect(freshness.behindSinceMs).toBe(2_000);
    freshness.handledTo(offset(15));
    expect(freshness.behindSinceMs).toBeUndefined();
  });

  it('does not grow younger by further answers, however often the broker is asked', () => {
    const freshness = new LogFreshness(offset(0), offset(5), 1_000);
    for (let nowMs = 1_100; nowMs <= 60_000; nowMs += 100) freshness.sawEnd(offset(5 + nowMs), nowMs);
    expect(freshness.behindSinceMs).toBe(1_000);
  });

  it('stays close to the truth under a stream whose end is never reached', () => {
    const lagMs = 300;
    const freshness = new LogFreshness(offset(0), offset(0), 0);
    for (let nowMs = 10; nowMs <= 60_000; nowMs += 10) {
      // A record each millisecond, handled after the lag.
      freshness.sawEnd(offset(nowMs), nowMs);
      if (nowMs > lagMs) freshness.handledTo(offset(nowMs - lagMs));
      const behindMs = nowMs - freshness.behindSinceMs!;
      expect(behindMs).toBeGreaterThanOrEqual(Math.min(nowMs, lagMs));
      expect(behindMs).toBeLessThanOrEqual(2 * lagMs + 20);
    }
  });
});
