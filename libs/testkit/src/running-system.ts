/**
 * The whole system as a stranger starts it, for end-to-end tests and measurements: `custody up` in a process of its own,
 * on free ports, with a data folder that is thrown away.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Role } from '#domain/identity.js';
import { isPortFree } from '#kafka/free-port.js';
import { isProcessAlive } from '#platform/process-alive.js';
import { readSettings, type Settings } from '#platform/settings.js';

/** The checkout, whether this is the source or what it was built to. */
const PROJECT_FOLDER = join(fileURLToPath(import.meta.url), '..', '..', '..', '..').replace(/\/dist$/, '');
const CLI = join(PROJECT_FOLDER, 'dist', 'apps', 'cli', 'src', 'main.js');
/** Real faces to measure on, beside the checkout; never part of it. */
export const FACES_FOLDER = join(PROJECT_FOLDER, '..', 'shared', 'data', 'lfw-dev');

/** Above the well-known services, below the ephemeral range of Linux (32768) and macOS (49152). */
const PORT_MIN = 20_000;
const PORT_MAX = 32_000;

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type ServiceName = 'ingest' | 'index' | 'query';

export class RunningSystem {
  private output = '';

  private constructor(
    private readonly child: ChildProcess,
    readonly environment: Readonly<Record<string, string>>,
    readonly settings: Settings,
  ) {}

  /** Fresh ports and an empty data folder, to be passed to {@link start} once or several times. */
  static async environment(extra: Readonly<Record<string, string>> = {}): Promise<Record<string, string>> {
    const first = await freePortsFrom(4);
    return {
      DATA_DIR: await mkdtemp(join(tmpdir(), 'custody-')),
      KAFKA_PORT: String(first),
      QUERY_PORT: String(first + 1),
      INGEST_PORT: String(first + 2),
      INDEX_PORT: String(first + 3),
      ...extra,
    };
  }

  /** Resolves when it says that it is up. @throws Error with its output when it is not */
  static async start(environment: Readonly<Record<string, string>>, withinMs = 240_000): Promise<RunningSystem> {
    const child = spawnUp(environment);
    const brokers = environment['KAFKA_BROKERS'] ?? `127.0.0.1:${environment['KAFKA_PORT']}`;
    const system = new RunningSystem(child, environment, readSettings({ ...environment, KAFKA_BROKERS: brokers }));
    child.stdout!.on('data', (chunk: Buffer) => (system.output += chunk.toString()));
    child.stderr!.on('data', (chunk: Buffer) => (system.output += chunk.toString()));
    await system.untilSaid('Up after', withinMs);
    return system;
  }

  /** Starts what is not expected to come up, and waits for its end. @throws Error when it does not end */
  static async startInVain(environment: Readonly<Record<string, string>>, withinMs = 60_000): Promise<CommandResult> {
    const child = spawnUp(environment);
    const timer = setTimeout(() => child.kill('SIGTERM'), withinMs);
    const result = await resultOf(child);
    clearTimeout(timer);
    if (child.signalCode === 'SIGTERM' || result.stdout.includes('SIGTERM: ending')) {
      throw new Error(`it has not ended within ${withinMs} ms:\n${result.stdout}${result.stderr}`);
    }
    return result;
  }

  /** Everything that it has printed. */
  get said(): string {
    return this.output;
  }

  async untilSaid(text: string, withinMs: number, from = 0): Promise<void> {
    const deadline = Date.now() + withinMs;
    while (!this.output.slice(from).includes(text)) {
      if (this.ended) throw new Error(`it ended with ${this.child.exitCode}:\n${this.output}`);
      if (Date.now() > deadline) throw new Error(`it has not said "${text}" within ${withinMs} ms:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  get queryUrl(): string {
    return `http://127.0.0.1:${this.settings.QUERY_PORT}`;
  }

  get ingestUrl(): string {
    return `http://127.0.0.1:${this.settings.INGEST_PORT}`;
  }

  get indexUrl(): string {
    return `http://127.0.0.1:${this.settings.INDEX_PORT}`;
  }

  /** Runs `custody …` against it. */
  async custody(...args: string[]): Promise<CommandResult> {
    return resultOf(this.startCustody(...args));
  }

  /** The same, for a command that is not to come to its end. */
  startCustody(...args: string[]): ChildProcess {
    return spawn(process.execPath, [CLI, ...args], {
      cwd: PROJECT_FOLDER,
      env: { ...process.env, KAFKA_BROKERS: this.settings.KAFKA_BROKERS.join(','), ...this.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  async token(role: Role, subject = `test-${role}`): Promise<string> {
    const { stdout } = await this.custody('token', '--role', role, '--subject', subject);
    return stdout.trim();
  }

  /** Process id of a service that runs now. */
  pidOf(service: ServiceName): number {
    const lines = execFileSync('ps', ['-eo', 'pid,ppid,args'], { encoding: 'utf8' }).split('\n');
    for (const line of lines) {
      const match = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line);
      if (match !== null && Number(match[2]) === this.child.pid && match[3]!.includes(`/apps/${service}/`)) {
        return Number(match[1]);
      }
    }
    throw new Error(`${service} is not running`);
  }

  /** Process ids of the index processes that run now, by their replica's name. */
  replicaPids(): ReadonlyMap<string, number> {
    const pids = new Map<string, number>();
    for (const line of everyProcess()) {
      if (!line.includes('/apps/index/') || !line.includes(this.environment['DATA_DIR']!)) continue;
      const name = / REPLICA_ID=(\S+)/.exec(line)?.[1];
      if (name !== undefined) pids.set(name, Number.parseInt(line, 10));
    }
    return pids;
  }

  /** Ends as a power failure would: without a word to anybody. Resolves when nothing runs any more that it started. */
  async kill(withinMs = 30_000): Promise<void> {
    const exited = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
    this.child.kill('SIGKILL');
    await exited;
    const deadline = Date.now() + withinMs;
    const dataFolder = this.environment['DATA_DIR']!;
    // A command that waits for the system is not of it.
    while (everyProcess().some((line) => line.includes(dataFolder) && !line.includes(CLI))) {
      if (Date.now() > deadline) throw new Error('what it started has not ended');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Ready as the service itself says. */
  async untilReady(service: ServiceName, withinMs = 60_000): Promise<void> {
    const url = { ingest: this.ingestUrl, index: this.indexUrl, query: this.queryUrl }[service];
    const deadline = Date.now() + withinMs;
    for (;;) {
      const response = await fetch(`${url}/health/ready`).catch(() => undefined);
      if (response?.ok === true) return;
      if (Date.now() > deadline) throw new Error(`${service} is not ready:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Ends a service and resolves when its successor is ready. `meanwhile` runs while there is none. */
  async restart(service: ServiceName, signal: NodeJS.Signals, meanwhile?: () => Promise<void>): Promise<void> {
    const before = this.pidOf(service);
    process.kill(before, signal);
    const deadline = Date.now() + 60_000;
    while (isProcessAlive(before)) {
      if (Date.now() > deadline) throw new Error(`${service} has not ended:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await meanwhile?.();
    await this.untilReady(service);
  }

  /** Ends it as Ctrl-C does, and says with which code it went. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    if (this.ended) return this.child.exitCode ?? -1;
    const exited = new Promise<number>((resolve) => this.child.once('exit', (code) => resolve(code ?? -1)));
    this.child.kill(signal);
    return exited;
  }

  async stopAndForget(): Promise<void> {
    await this.stop();
    await rm(this.environment['DATA_DIR']!, { recursive: true, force: true });
  }

  private get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }
}

/**
 * What runs on behalf of a data folder, whoever its parent is by now: everything that `custody up` starts inherits its
 * environment. One line a process.
 */
export function processesOf(dataFolder: string): readonly string[] {
  return everyProcess()
    .filter((line) => line.includes(dataFolder))
    .map((line) => line.slice(0, 120));
}

/** Process id, command and environment of everything that runs on this machine. */
function everyProcess(): readonly string[] {
  const all = execFileSync('ps', ['axeww', '-o', 'pid,args'], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  return all.split('\n').map((line) => line.trim());
}

/**
 * The first of so many free ports in a row. Below those that the system gives to outgoing connections: a port that is
 * chosen now and listened on seconds later must not be taken by one meanwhile.
 */
async function freePortsFrom(count: number): Promise<number> {
  for (;;) {
    const first = randomInt(PORT_MIN, PORT_MAX - count);
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isPortFree(first + i)));
    if (!free.includes(false)) return first;
  }
}

function spawnUp(environment: Readonly<Record<string, string>>): ChildProcess {
  return spawn(process.execPath, [CLI, 'up'], {
    cwd: PROJECT_FOLDER,
    env: { ...process.env, KAFKA_BROKERS: '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function resultOf(child: ChildProcess): Promise<CommandResult> {
  let stdout = '';
  let stderr = '';
  child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? -1)));
  return { code, stdout, stderr };
}
