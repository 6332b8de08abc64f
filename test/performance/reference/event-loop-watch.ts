/**
 * Watches the event loop of another process from within, a thousand times a second: how late a timer of a millisecond
 * comes, and how long the main thread itself was at work since the last one. The first is what those wait who ask the
 * process something; where the machine has more to do than processors, most of it is waiting for one of them, and only
 * the second says what the process could do about it.
 *
 * Loaded into the process by {@link watching}; appends samples to a file, each three float64: when (milliseconds since
 * 1970), how late (milliseconds), how much work (milliseconds of the thread's CPU).
 */
import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

const FILE_VARIABLE = 'EVENT_LOOP_WATCH_FILE';
const INTERVAL_MS = 1;
const SAMPLES_AT_ONCE = 1000;
const VALUES = 3;

export interface LoopSamples {
  readonly lateMs: number[];
  readonly workMs: number[];
}

/** What to add to a process's environment. */
export function watching(file: string): Record<string, string> {
  return { [FILE_VARIABLE]: file, NODE_OPTIONS: `--import ${fileURLToPath(import.meta.url)}` };
}

/** @param fromMs inclusive, milliseconds since 1970 @param toMs exclusive */
export async function loopSamples(file: string, fromMs: number, toMs: number): Promise<LoopSamples> {
  const bytes = await readFile(file);
  const whole = Math.floor(bytes.length / (VALUES * 8)) * VALUES;
  const values = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + whole * 8));
  const samples: LoopSamples = { lateMs: [], workMs: [] };
  for (let at = 0; at < values.length; at += VALUES) {
    if (values[at]! < fromMs || values[at]! >= toMs) continue;
    samples.lateMs.push(values[at + 1]!);
    samples.workMs.push(values[at + 2]!);
  }
  return samples;
}

function watch(file: string): void {
  const samples = new Float64Array(SAMPLES_AT_ONCE * VALUES);
  let count = 0;
  let lastMs = performance.now();
  let lastCpu = process.threadCpuUsage();
  const look = (): void => {
    const nowMs = performance.now();
    const cpu = process.threadCpuUsage();
    const workMs = (cpu.user + cpu.system - lastCpu.user - lastCpu.system) / 1000;
    samples.set([Date.now(), Math.max(0, nowMs - lastMs - INTERVAL_MS), workMs], count * VALUES);
    if (++count === SAMPLES_AT_ONCE) {
      appendFileSync(file, new Uint8Array(samples.buffer));
      count = 0;
    }
    // After the writing, which is not what is looked at.
    lastMs = performance.now();
    lastCpu = process.threadCpuUsage();
    setTimeout(look, INTERVAL_MS).unref();
  };
  setTimeout(look, INTERVAL_MS).unref();
}

const watchedFile = process.env[FILE_VARIABLE];
if (watchedFile !== undefined && isMainThread) watch(watchedFile);
