/**
 * So many in any minute, for each of many keys: a sliding window, so that nobody gets twice as many around the turn of
 * a minute. Counted in this process alone: with several replicas, each allows as many.
 */
const WINDOW_MS = 60_000;

export class RateLimit {
  /** When each was taken, oldest first, at most `perMinute` a key. */
  private readonly taken = new Map<string, number[]>();
  private sweptAtMs = 0;

  constructor(readonly perMinute: number) {}

  /**
   * @param nowMs of any clock that only goes forward
   * @returns 0 when it was taken; otherwise nothing was, and so many milliseconds later one will be free
   */
  take(key: string, nowMs: number): number {
    if (nowMs - this.sweptAtMs > WINDOW_MS) this.forgetQuiet(nowMs);
    const times = this.taken.get(key) ?? [];
    while (times[0] !== undefined && times[0] <= nowMs - WINDOW_MS) times.shift();
    if (times.length >= this.perMinute) return times[0]! + WINDOW_MS - nowMs;
    times.push(nowMs);
    this.taken.set(key, times);
    return 0;
  }

  /** Whoever has not come for a window would otherwise be remembered for ever. */
  private forgetQuiet(nowMs: number): void {
    this.sweptAtMs = nowMs;
    for (const [key, times] of this.taken) {
      if ((times.at(-1) ?? -Infinity) <= nowMs - WINDOW_MS) this.taken.delete(key);
    }
  }
}
