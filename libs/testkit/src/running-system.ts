/**
 * The whole system as a stranger starts it, for end-to-end tests and measurements: `custody up` in a process of its own,
 * on free ports, with a data folder that is thrown away.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Role } from '#domain/identity.js';
import { freePort } from '#kafka/free-port.js';
import { readSettings, type Settings } from '#platform/settings.js';

export const PROJECT_FOLDER = join(fileURLToPath(import.meta.url), '..', '..', '..', '..');
const CLI = join(PROJECT_FOLDER, 'dist', 'apps', 'cli', 'src', 'main.js');
/** Real faces to measure on, beside the checkout; never part of it. */
export const FACES_FOLDER = join(PROJECT_FOLDER, '..', 'shared', 'data', 'lfw-dev');

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
    const port = async (): Promise<string> => String(await freePort());
    return {
      DATA_DIR: await mkdtemp(join(tmpdir(), 'custody-')),
      KAFKA_PORT: await port(),
      QUERY_PORT: await port(),
      INGEST_PORT: await port(),
      INDEX_PORT: await port(),
      ...extra,
    };
  }

  /** Resolves when it says that it is up. @throws Error with its output when it is not */
  static async start(environment: Readonly<Record<string, string>>, withinMs = 240_000): Promise<RunningSystem> {
    const child = spawn(process.execPath, [CLI, 'up'], {
      cwd: PROJECT_FOLDER,
      env: { ...process.env, KAFKA_BROKERS: '', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const brokers = environment['KAFKA_BROKERS'] ?? `127.0.0.1:${environment['KAFKA_PORT']}`;
    const system = new RunningSystem(child, environment, readSettings({ ...environment, KAFKA_BROKERS: brokers }));
    child.stdout!.on('data', (chunk: Buffer) => (system.output += chunk.toString()));
    child.stderr!.on('data', (chunk: Buffer) => (system.output += chunk.toString()));
    await system.untilSaid('Up after', withinMs);
    return system;
  }

  /** Everything that it has printed. */
  get said(): string {
    return this.output;
  }

  async untilSaid(text: string, withinMs: number, from = 0): Promise<void> {
    const deadline = Date.now() + withinMs;
    while (!this.output.slice(from).includes(text)) {
      if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}:\n${this.output}`);
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
    const child = spawn(process.execPath, [CLI, ...args], {
      cwd: PROJECT_FOLDER,
      env: { ...process.env, KAFKA_BROKERS: this.settings.KAFKA_BROKERS.join(','), ...this.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? -1)));
    return { code, stdout, stderr };
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

  /** Ends it as Ctrl-C does, and says with which code it went. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    const exited = new Promise<number>((resolve) => this.child.once('exit', (code) => resolve(code ?? -1)));
    this.child.kill(signal);
    return exited;
  }

  async stopAndForget(): Promise<void> {
    await this.stop();
    await rm(this.environment['DATA_DIR']!, { recursive: true, force: true });
  }
}
