/** So many at the same time, for each of many keys. Whoever comes when all are taken is told at once, and not queued. */
export class ConcurrencyLimit {
  private readonly running = new Map<string, number>();

  constructor(readonly max: number) {}

  /** @returns what ends it, to be called once; undefined when as many run as may */
  begin(key: string): (() => void) | undefined {
    const running = this.running.get(key) ?? 0;
    if (running >= this.max) return undefined;
    this.running.set(key, running + 1);
    return () => {
      const left = this.running.get(key)! - 1;
      if (left === 0) this.running.delete(key);
      else this.running.set(key, left);
    };
  }
}
