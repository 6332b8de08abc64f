export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The lowest and the highest round. */
  readonly spread: readonly [number, number];
}

export interface Ratio {
  readonly name: string;
  readonly value: number;
  readonly goal: string;
  readonly holds: boolean;
}

export interface BenchResult {
  readonly figures: readonly Figure[];
  readonly ratios: readonly Ratio[];
}

/** What a bench may be told on the command line. */
export interface BenchOptions {
  /** Of `enrol`: so many in a row, for its memory. */
  readonly images: number | undefined;
}

/** @param p from 0 to 1; nearest rank */
export function quantile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))]!;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function figure(name: string, unit: string, rounds: readonly number[]): Figure {
  return { name, unit, value: median(rounds), spread: [Math.min(...rounds), Math.max(...rounds)] };
}

/** Milliseconds that `run` takes. */
export async function timed(run: () => unknown): Promise<number> {
  const startedMs = performance.now();
  await run();
  return performance.now() - startedMs;
}

/** Milliseconds of the process's own CPU that `run` takes: what others do on the machine counts less than by the clock. */
export async function cpuTimed(run: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

export function ratioAtMost(name: string, value: number, most: number): Ratio {
  return { name, value, goal: `<= ${most}`, holds: value <= most };
}

export function ratioAtLeast(name: string, value: number, least: number): Ratio {
  return { name, value, goal: `>= ${least}`, holds: value >= least };
}
