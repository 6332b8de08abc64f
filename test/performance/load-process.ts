/** A process of a bench that does one thing over and over when told, and says how it went. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** So that a bench that hangs says where. */
const ANSWER_MS_MAX = 180_000;

/** One order at a time: a JSON value in, a JSON value out. */
export class LoadProcess {
  private readonly ended: Promise<never>;

  private constructor(
    private readonly child: ChildProcess,
    name: string,
  ) {
    this.ended = once(child, 'exit').then(() => {
      throw new Error(`${name} has ended`);
    });
    this.ended.catch(() => undefined);
  }

  /** @param file beside the bench, as it is built; resolves when it says that it is ready */
  static async start(file: string, environment: Readonly<Record<string, string>>): Promise<LoadProcess> {
    const path = fileURLToPath(new URL(file, import.meta.url));
    const child = fork(path, { env: { ...process.env, ...environment }, serialization: 'advanced' });
    const started = new LoadProcess(child, file);
    await started.answer();
    return started;
  }

  async order<T>(order: object): Promise<T> {
    const answer = this.answer();
    this.child.send(order);
    return (await answer) as T;
  }

  stop(): void {
    this.child.disconnect();
  }

  private async answer(): Promise<unknown> {
    const answered = once(this.child, 'message', { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    const [answer] = (await Promise.race([answered, this.ended])) as [unknown];
    return answer;
  }
}

/** The other end: answers each order, and goes with the bench. */
export function obey<Order>(carryOut: (order: Order) => Promise<unknown>): void {
  process.on('message', (order) => void carryOut(order as Order).then((answer) => process.send!(answer ?? null)));
  process.once('disconnect', () => process.exit(0));
  process.send!('ready');
}

/** Milliseconds of each of `count` calls, of which so many are under way at any time. */
export async function latenciesMs(inFlight: number, count: number, call: () => Promise<unknown>): Promise<number[]> {
  const latencies: number[] = [];
  let left = count;
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      const startedMs = performance.now();
      await call();
      latencies.push(performance.now() - startedMs);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  return latencies;
}
