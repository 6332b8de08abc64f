/**
 * Keeps the services of a local installation running: one readable log stream, a restart with backoff for one that
 * dies, and nothing left behind at the end.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { prettyFactory } from 'pino-pretty';
import { projectFolder } from './local-assets.js';

export type ServiceName = 'ingest' | 'index' | 'query';

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
  child: ChildProcess | undefined;
  restartAfterMs: number;
  startedAtMs: number;
  deaths: number;
  timer?: NodeJS.Timeout;
}

const pretty = prettyFactory({
  messageKey: 'event',
  messageFormat: '{service} {event}',
  ignore: 'pid,service,hostname',
  singleLine: true,
  translateTime: 'SYS:HH:MM:ss',
  colorize: process.stdout.isTTY,
});

export class Supervisor {
  private readonly services = new Map<ServiceName, Supervised>();
  private stopping = false;

  constructor(
    private readonly environment: NodeJS.ProcessEnv,
    private readonly say: (line: string) => void,
  ) {}

  start(name: ServiceName): void {
    this.services.set(name, { child: undefined, restartAfterMs: RESTART_AFTER_MS_MIN, startedAtMs: 0, deaths: 0 });
    this.spawn(name);
  }

  /** Whether it is running now; while a dead one waits for its restart, it is not. */
  isRunning(name: ServiceName): boolean {
    return this.services.get(name)?.child !== undefined;
  }

  /** How often it has ended without having been asked to. */
  deathsOf(name: ServiceName): number {
    return this.services.get(name)?.deaths ?? 0;
  }

  /** Asks each to finish what is under way, then makes sure. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all([...this.services.values()].map((service) => stopOne(service)));
  }

  private spawn(name: ServiceName): void {
    const service = this.services.get(name)!;
    service.startedAtMs = Date.now();
    const entry = join(projectFolder(), 'dist', 'apps', name, 'src', 'main.js');
    const child = spawn(process.execPath, [...NODE_OPTIONS[name], entry], {
      env: this.environment,
      cwd: projectFolder(),
      // The channel closes with this process, however it ends, and the service stops by itself.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    service.child = child;
    createInterface({ input: child.stdout! }).on('line', (line) => this.say(readable(line)));
    createInterface({ input: child.stderr! }).on('line', (line) => this.say(`${name}: ${line}`));
    child.once('exit', (code, signal) => {
      service.child = undefined;
      if (!this.stopping) this.restart(name, service, signal ?? `code ${code}`);
    });
  }

  private restart(name: ServiceName, service: Supervised, how: string): void {
    service.deaths++;
    if (Date.now() - service.startedAtMs > WELL_AFTER_MS) service.restartAfterMs = RESTART_AFTER_MS_MIN;
    this.say(`supervisor: ${name} ended (${how}); starting it again in ${service.restartAfterMs / 1000} s`);
    service.timer = setTimeout(() => this.spawn(name), service.restartAfterMs);
    service.restartAfterMs = Math.min(service.restartAfterMs * 2, RESTART_AFTER_MS_MAX);
  }
}

async function stopOne(service: Supervised): Promise<void> {
  clearTimeout(service.timer);
  const { child } = service;
  if (child === undefined) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
  await exited;
  clearTimeout(timer);
}

function readable(line: string): string {
  return line.startsWith('{') ? (pretty(line) ?? line).trimEnd() : line;
}
