/**
 * One index process after another, of one place in a layout: started, watched by what it logs, killed, started again.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../apps/index/src/main.js', import.meta.url));
const READY_WITHIN_MS = 180_000;
const LINES_KEPT = 40;

/** How far a start had come, in the order in which it goes. */
export const STAGES = ['spawned', 'listening', 'snapshot-restored', 'ready'] as const;
export type Stage = (typeof STAGES)[number];

export interface Place {
  /** Also its REPLICA_ID. */
  readonly name: string;
  readonly shards: number;
  readonly shard: number;
  readonly workers: number;
  readonly port: number;
  readonly snapshotFolder: string;
}

export class IndexProcess {
  private child: ChildProcess | undefined;
  private stage: Stage = 'spawned';
  private waiters: { stage: Stage; resolve: () => void; reject: (error: Error) => void }[] = [];
  private readonly lines: string[] = [];
  private expectedToEnd = false;
  /** Number of the process among those of this place, from 1. */
  incarnation = 0;
  startedAtMs = 0;
  /** What the log held for this process when it was started: template partition → offset, exclusive. */
  ackedAtStart: ReadonlyMap<number, number> = new Map();
  readyAtMs = 0;

  /**
   * @param environment of every process
   * @param onEvent told of each line that is logged, by its name
   * @param onUnexpectedEnd told of an end that nobody asked for
   */
  constructor(
    readonly place: Place,
    private readonly environment: Readonly<Record<string, string>>,
    private readonly onEvent: (event: string, level: string) => void,
    private readonly onUnexpectedEnd: (said: string) => void,
  ) {}

  get name(): string {
    return this.place.name;
  }

  /** Who answers: one name a worker. */
  get replicaIds(): readonly string[] {
    return Array.from({ length: this.place.workers }, (_, worker) => `${this.name}/${worker}`);
  }

  get isReady(): boolean {
    return this.stage === 'ready' && this.isAlive;
  }

  get reached(): Stage {
    return this.stage;
  }

  get isAlive(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The last lines that it logged. */
  get said(): string {
    return this.lines.join('\n');
  }

  start(ackedEnds: ReadonlyMap<number, number>): void {
    const { name, shards, shard, workers, port, snapshotFolder } = this.place;
    this.incarnation++;
    this.stage = 'spawned';
    this.expectedToEnd = false;
    this.lines.length = 0;
    this.startedAtMs = Date.now();
    this.ackedAtStart = new Map(ackedEnds);
    const child = spawn(process.execPath, [MAIN], {
      env: {
        ...process.env,
        ...this.environment,
        SHARDS: String(shards),
        SHARD: String(shard),
        WORKERS: String(workers),
        REPLICA_ID: name,
        INDEX_PORT: String(port),
        SNAPSHOT_DIR: snapshotFolder,
      },
      // It ends when the channel closes: nothing is left behind, however this process goes.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => this.take(child, line));
    }
    child.once('exit', () => {
      if (child === this.child) this.ended();
    });
  }

  /** @throws Error when it ends before, or is not there in time */
  async until(stage: Stage): Promise<void> {
    if (STAGES.indexOf(this.stage) >= STAGES.indexOf(stage)) return;
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.waiters.push({ stage, resolve, reject });
        timer = setTimeout(() => reject(new Error(`${this.name} is not ${stage} in time`)), READY_WITHIN_MS);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** As a power cut does to it: resolves when it is gone. */
  async kill9(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** @returns the exit code */
  async stop(): Promise<number | null> {
    await this.end('SIGTERM');
    return this.child?.exitCode ?? null;
  }

  private async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (!this.isAlive) return;
    this.expectedToEnd = true;
    const exited = once(this.child!, 'exit');
    this.child!.kill(signal);
    await exited;
  }

  private take(child: ChildProcess, line: string): void {
    if (child !== this.child) return;
    this.lines.push(line);
    if (this.lines.length > LINES_KEPT) this.lines.shift();
    const { event, level } = readLogLine(line);
    this.onEvent(event, level);
    const stage = STAGES.find((name) => name === event);
    if (stage === undefined) return;
    this.stage = stage;
    if (stage === 'ready') this.readyAtMs = Date.now();
    const reached = STAGES.indexOf(stage);
    for (const waiter of this.waiters) if (STAGES.indexOf(waiter.stage) <= reached) waiter.resolve();
    this.waiters = this.waiters.filter((waiter) => STAGES.indexOf(waiter.stage) > reached);
  }

  private ended(): void {
    for (const { reject } of this.waiters.splice(0)) reject(new Error(`${this.name} has ended`));
    if (!this.expectedToEnd) this.onUnexpectedEnd(this.said);
  }
}

function readLogLine(line: string): { event: string; level: string } {
  try {
    const { event, level } = JSON.parse(line) as { event?: unknown; level?: unknown };
    return { event: String(event), level: String(level) };
  } catch {
    return { event: 'not-a-log-line', level: 'error' };
  }
}
