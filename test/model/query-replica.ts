/**
 * Two replicas of the query service on one log: the one that `custody up` started and keeps running, and a second one
 * that the test starts, kills, pauses and starts again.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '#kafka/free-port.js';
import { modelPackFolderForTests } from '#testkit/model-pack-for-tests.js';
import type { RunningSystem } from '#testkit/running-system.js';

const PROJECT_FOLDER = join(import.meta.dirname, '..', '..');
const MAIN = join(PROJECT_FOLDER, 'dist', 'apps', 'query', 'src', 'main.js');
const READY_MS_MAX = 60_000;

/** Where requests can be sent. */
export interface Replica {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** Whether a load balancer would send it requests. */
  readonly isUp: boolean;
}

/** The replica of the running system, whose supervisor starts it again. */
export class SupervisedReplica implements Replica {
  readonly name = 'first';
  isUp = true;

  constructor(private readonly system: RunningSystem) {}

  get url(): string {
    return this.system.queryUrl;
  }

  get pid(): number {
    return this.system.pidOf('query');
  }

  async kill(): Promise<void> {
    this.isUp = false;
    await this.system.restart('query', 'SIGKILL');
    this.isUp = true;
  }
}

/** A replica beside it: its own process, port and view; everything else is shared. */
export class SecondReplica implements Replica {
  readonly name = 'second';
  isUp = false;
  private child: ChildProcess | undefined;
  private port = 0;
  private output = '';

  constructor(
    private readonly system: RunningSystem,
    private readonly extra: Readonly<Record<string, string>> = {},
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.child!.pid!;
  }

  private get folder(): string {
    return join(this.system.settings.DATA_DIR, 'second-query');
  }

  /** Resolves when it is ready. @throws Error with its output */
  async start(): Promise<void> {
    this.port = await freePort();
    this.output = '';
    const child = spawn(process.execPath, [MAIN], {
      cwd: PROJECT_FOLDER,
      env: {
        ...process.env,
        ...this.system.environment,
        KAFKA_BROKERS: this.system.settings.KAFKA_BROKERS.join(','),
        MODEL_PACK_DIR: await modelPackFolderForTests(),
        LOG_LEVEL: 'warn',
        QUERY_PORT: String(this.port),
        VIEW_FILE: join(this.folder, 'searches.sqlite'),
        REGISTER_FILE: join(this.folder, 'register.sqlite'),
        REPLICA_ID: 'second-query',
        INFERENCE_CONCURRENCY: '1',
        ...this.extra,
      },
      // It ends when this channel closes, however the test goes.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    }
    const deadline = Date.now() + READY_MS_MAX;
    while ((await fetch(`${this.url}/health/ready`).catch(() => undefined))?.ok !== true) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`it is not ready:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    this.isUp = true;
  }

  get said(): string {
    return this.output;
  }

  get hasEnded(): boolean {
    return this.child === undefined || this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async kill(): Promise<void> {
    this.isUp = false;
    const { child } = this;
    if (child === undefined || this.hasEnded) return;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    // A paused process dies too.
    child.kill('SIGKILL');
    await exited;
  }

  /** The process does nothing from now on, and knows nothing of it afterwards. */
  pause(): void {
    this.isUp = false;
    this.child!.kill('SIGSTOP');
  }

  wake(): void {
    this.child!.kill('SIGCONT');
    this.isUp = true;
  }

  /** While it is not running. */
  forgetView(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** Stops the face pipeline of a replica, or lets it go on: meanwhile no search of it comes to an end. */
export function signalFaceProcesses(replica: Replica, signal: 'SIGSTOP' | 'SIGCONT'): void {
  const lines = execFileSync('ps', ['-eo', 'pid,ppid,args'], { encoding: 'utf8' }).split('\n');
  for (const line of lines) {
    const match = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line);
    if (Number(match?.[2]) === replica.pid && match![3]!.includes('face-process'))
      process.kill(Number(match![1]), signal);
  }
}
