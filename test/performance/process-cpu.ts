/**
 * What processes have used of the processors, and what memory they hold, from the system's own count: unlike the clock, it
 * does not count what others do on the machine meanwhile. Linux (/proc).
 */
import { readdirSync, readFileSync } from 'node:fs';

/** The kernel's unit in /proc/<pid>/stat (USER_HZ), which is 100 on every architecture that Node runs on. */
const TICK_MS = 10;
/** Of /proc/<pid>/stat behind the command's closing bracket: parent, and user and system time of all threads. */
const PARENT_AT = 1;
const USER_AT = 11;
const SYSTEM_AT = 12;
const FACE_PROCESS = 'face-process.js';

interface ProcessState {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
  readonly cpuMs: number;
  readonly residentBytes: number;
}

type Processes = ReadonlyMap<number, ProcessState>;

/** Milliseconds of CPU that those of this process's children which run now have used. */
export function cpuMsOfChildren(): number {
  return sum(
    [...processes(() => true).values()].filter(({ parent }) => parent === process.pid),
    'cpuMs',
  );
}

/**
 * Milliseconds of CPU by part of a running system: `broker`, `ingest`, `ingest: faces`, …, `supervisor`.
 *
 * @param dataFolder what all processes of the system have in their environment, and nobody else
 */
export function cpuMsByPart(dataFolder: string): ReadonlyMap<string, number> {
  return byPart(dataFolder, 'cpuMs');
}

/** Bytes of memory that are resident, by part as {@link cpuMsByPart}. */
export function residentBytesByPart(dataFolder: string): ReadonlyMap<string, number> {
  return byPart(dataFolder, 'residentBytes');
}

function byPart(dataFolder: string, what: 'cpuMs' | 'residentBytes'): ReadonlyMap<string, number> {
  const all = processes((pid) => readFileSync(`/proc/${pid}/environ`, 'utf8').includes(dataFolder));
  const parts = Map.groupBy(all.values(), (one) => partOf(one, all));
  return new Map([...parts].map(([part, members]) => [part, sum(members, what)]));
}

function partOf({ command, parent }: ProcessState, all: Processes): string {
  const owner = all.get(parent);
  if (command.includes(FACE_PROCESS) && owner !== undefined) return `${partOf(owner, all)}: faces`;
  const service = /\/apps\/(\w+)\/src\//.exec(command)?.[1];
  if (service === 'cli') return 'supervisor';
  return service ?? (command.includes('kafka.Kafka') ? 'broker' : 'other');
}

function processes(isMeant: (pid: string) => boolean): Processes {
  const found = new Map<number, ProcessState>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (isMeant(name)) found.set(Number(name), stateOf(name));
    } catch {
      // It has ended meanwhile, or is somebody else's.
    }
  }
  return found;
}

function stateOf(pid: string): ProcessState {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const residentKb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return {
    pid: Number(pid),
    parent: Number(fields[PARENT_AT]),
    command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '),
    cpuMs: TICK_MS * (Number(fields[USER_AT]) + Number(fields[SYSTEM_AT])),
    residentBytes: 1024 * Number(residentKb ?? 0),
  };
}

function sum(all: readonly ProcessState[], what: 'cpuMs' | 'residentBytes'): number {
  return all.reduce((total, one) => total + one[what], 0);
}
