/** What processes cost while nothing is asked of them, from the system's own count of their time. Linux. */
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** By name, the share of one core in per cent that a process and everything that it started took. */
export async function cpuSharesOver<Name extends string>(
  pids: Readonly<Record<Name, number>>,
  seconds: number,
): Promise<Record<Name, number>> {
  const names = Object.keys(pids) as Name[];
  const families = names.map((name) => withDescendants(pids[name]));
  const before = await Promise.all(families.map(ticksOf));
  const startedMs = performance.now();
  await pause(seconds * 1000);
  const after = await Promise.all(families.map(ticksOf));
  const tookSeconds = (performance.now() - startedMs) / 1000;
  const share = (i: number): number => (100 * (after[i]! - before[i]!)) / TICKS_PER_SECOND / tookSeconds;
  return Object.fromEntries(names.map((name, i) => [name, share(i)])) as Record<Name, number>;
}

function withDescendants(pid: number): number[] {
  const pairs = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
  const family = [pid];
  for (const member of family) for (const [child, parent] of pairs) if (parent === member) family.push(child);
  return family;
}

/** User and system time of the processes, in clock ticks. */
async function ticksOf(pids: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold spaces: what counts comes after it, utime and stime as fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks;
}
