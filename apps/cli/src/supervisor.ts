/**
 * Keeps the services of a local installation running: one readable log stream, a restart with backoff for one that
 * dies, and nothing left behind at the end.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { prettyFactory } from 'pino-pretty';
import { overwritingFreed } from '#platform/freed-memory.js';
import { projectFolder } from './local-assets.js';

export type ServiceName = 'ingest' | 'index' | 'query';

/** A process to be kept running. */
export interface SupervisedProcess {
  /** In the log stream, and for questions about it; the service's own name where there is one process of it. */
  readonly name: string;
  readonly service: ServiceName;
  /** Of the service's files, where it is not its main one. */
  readonly entry?: string;
  /** On top of the environment that all of them get. */
  readonly environment?: NodeJS.ProcessEnv;
}

const RESTART_AFTER_MS_MIN = 500;
const RESTART_AFTER_MS_MAX = 30_000;
/** A service that ran for so long was well: the next death starts the backoff anew. */
const WELL_AFTER_MS = 60_000;
/** Above what a service allows itself for its shutdown. */
const STOP_MS_MAX = 28_000;

/**
 * Ingest makes and drops a few buffers for every image. A small young generation gives them back in quick collections;
 * with the default one the whole heap is marked every second or two, which costs twice as much.
 */
const NODE_OPTIONS: Readonly<Record<ServiceName, readonly string[]>> = {
  ingest: ['--max-semi-space-size=4'],
  index: [],
  query: [],
};

interface Supervised {
  readonly spec: SupervisedProcess;
  child: ChildProcess | undefined;
  stopping: boolean;
  restartAfterMs: number;
  startedAtMs: number;
  deaths: number;
  timer?: NodeJS.Timeout;
}

export class Supervisor {
  private readonly processes = new Map<string, Supervised>();
  private stopping = false;

  constructor(
    private readonly environment: NodeJS.ProcessEnv,
    private readonly say: (line: string) => void,
  ) {}

  start(spec: SupervisedProcess): void {
    if (this.stopping) return;
    const supervised = {
      spec,
      child: undefined,
      stopping: false,
      restartAfterMs: RESTART_AFTER_MS_MIN,
      startedAtMs: 0,
      deaths: 0,
    };
    this.processes.set(spec.name, supervised);
    this.spawn(supervised);
  }

  /** Whether it is running now; while a dead one waits for its restart, it is not. */
  isRunning(name: string): boolean {
    return this.processes.get(name)?.child !== undefined;
  }

  /** How often it has ended without having been asked to. */
  deathsOf(name: string): number {
    return this.processes.get(name)?.deaths ?? 0;
  }

  /** Asks one to finish what is under way, makes sure, and does not start it again. Nothing when there is no such process. */
  async end(name: string): Promise<void> {
    const supervised = this.processes.get(name);
    if (supervised === undefined) return;
    await stopOne(supervised);
    this.processes.delete(name);
  }

  /** Asks each to finish what is under way, then makes sure. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all([...this.processes.values()].map((supervised) => stopOne(supervised)));
  }

  private spawn(supervised: Supervised): void {
    const { name, service, entry: file = 'main.js', environment } = supervised.spec;
    supervised.startedAtMs = Date.now();
    const entry = join(projectFolder(), 'dist', 'apps', service, 'src', file);
    const child = spawn(process.execPath, [...NODE_OPTIONS[service], entry], {
      env: overwritingFreed({ ...this.environment, ...environment }),
      cwd: projectFolder(),
      // The channel closes with this process, however it ends, and the service stops by itself.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    supervised.child = child;
    const readable = readableLines(name);
    createInterface({ input: child.stdout! }).on('line', (line) => this.say(readable(line)));
    createInterface({ input: child.stderr! }).on('line', (line) => this.say(`${name}: ${line}`));
    child.once('exit', (code, signal) => {
      supervised.child = undefined;
      if (!supervised.stopping) this.restart(supervised, signal ?? `code ${code}`);
    });
  }

  private restart(supervised: Supervised, how: string): void {
    supervised.deaths++;
    if (Date.now() - supervised.startedAtMs > WELL_AFTER_MS) supervised.restartAfterMs = RESTART_AFTER_MS_MIN;
    const inSeconds = supervised.restartAfterMs / 1000;
    this.say(`supervisor: ${supervised.spec.name} ended (${how}); starting it again in ${inSeconds} s`);
    supervised.timer = setTimeout(() => this.spawn(supervised), supervised.restartAfterMs);
    supervised.restartAfterMs = Math.min(supervised.restartAfterMs * 2, RESTART_AFTER_MS_MAX);
  }
}

async function stopOne(supervised: Supervised): Promise<void> {
  supervised.stopping = true;
  clearTimeout(supervised.timer);
  const { child } = supervised;
  if (child === undefined) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
  await exited;
  clearTimeout(timer);
}

/** Structured lines as people read them, under the name of the process. */
function readableLines(name: string): (line: string) => string {
  const pretty = prettyFactory({
    messageKey: 'event',
    messageFormat: `${name} {event}`,
    ignore: 'pid,service,hostname',
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss',
    colorize: process.stdout.isTTY,
  });
  return (line) => (line.startsWith('{') ? (pretty(line) ?? line).trimEnd() : line);
}
