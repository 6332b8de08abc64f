/** One of the services, as its supervisor runs it: whenever it ends, it is started again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { fileURLToPath } from 'node:url';

export type ServiceKind = 'ingest' | 'index' | 'query';

const RESTART_AFTER_MS = 300;
const LOOK_AGAIN_MS = 50;

export class ServiceProcess {
  private child: ChildProcess | undefined;
  private stopping = false;
  private killed = false;
  private readonly output: WriteStream;
  /** Ends that nobody here has brought about. */
  endedByItself = 0;

  constructor(
    readonly name: string,
    readonly kind: ServiceKind,
    private readonly environment: Readonly<Record<string, string>>,
    readonly url: string,
    logFile: string,
  ) {
    this.output = createWriteStream(logFile, { flags: 'a' });
  }

  start(): void {
    const main = fileURLToPath(new URL(`../../apps/${this.kind}/src/main.js`, import.meta.url));
    this.killed = false;
    const child = spawn(process.execPath, [main], {
      env: { ...process.env, ...this.environment },
      // It ends when the channel closes: nothing is left behind, however this process goes.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.child = child;
    child.stdout!.pipe(this.output, { end: false });
    child.stderr!.pipe(this.output, { end: false });
    child.once('exit', () => {
      if (this.stopping) return;
      if (!this.killed) this.endedByItself++;
      setTimeout(() => this.stopping || this.start(), RESTART_AFTER_MS);
    });
  }

  async untilReady(withinMs = 90_000): Promise<void> {
    const deadlineMs = Date.now() + withinMs;
    for (;;) {
      const answer = await fetch(`${this.url}/health/ready`).catch(() => undefined);
      if (answer?.ok === true) return;
      if (Date.now() > deadlineMs) throw new Error(`${this.name} is not ready within ${withinMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  /** As a power cut does to it; a new one follows. */
  async kill9(): Promise<void> {
    const child = this.child!;
    if (child.exitCode !== null || child.signalCode !== null) return;
    this.killed = true;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** It keeps its connections and does nothing until `thaw`. */
  freeze(): void {
    this.child!.kill('SIGSTOP');
  }

  thaw(): void {
    this.child!.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    this.stopping = true;
    const child = this.child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
      await exited;
      clearTimeout(timer);
    }
    this.output.end();
  }
}
