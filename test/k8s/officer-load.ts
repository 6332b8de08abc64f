/** Officers who search without a pause through the service's address, each time another person of the gallery. */
import { describeError } from '#domain/errors.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import { call } from '#testkit/http-for-tests.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';

export interface Probe {
  readonly subjectId: string;
  readonly image: Uint8Array;
}

export class OfficerLoad {
  /** What was no complete answer with the right person first, as it came. */
  readonly failed: string[] = [];
  /** Of each answer, as the client measured it. */
  readonly latenciesMs: number[] = [];
  private readonly loops: Promise<void>[];
  private stopped = false;

  constructor(queryUrl: string, token: () => Promise<string>, probes: readonly Probe[], atATime = 2) {
    let next = 0;
    const loop = async (): Promise<void> => {
      while (!this.stopped) {
        const { subjectId, image } = probes[next++ % probes.length]!;
        const [bearer, form] = [await token(), operatorForm(image)];
        const startedMs = performance.now();
        try {
          const answer = await call('POST', `${queryUrl}/v1/searches/operator`, bearer, form);
          this.latenciesMs.push(performance.now() - startedMs);
          if (answer.status === 200) this.judge(JSON.parse(answer.text) as SearchAnswer, subjectId);
          else this.failed.push(`${answer.status} ${answer.text}`);
        } catch (error) {
          this.failed.push(describeError(error));
        }
      }
    };
    this.loops = Array.from({ length: atATime }, loop);
  }

  /** Resolves when so many more have been answered. */
  async more(searches: number): Promise<void> {
    const done = (): number => this.latenciesMs.length + this.failed.length;
    const until = done() + searches;
    while (done() < until) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async stop(): Promise<this> {
    this.stopped = true;
    await Promise.all(this.loops);
    return this;
  }

  private judge({ complete, candidates }: SearchAnswer, subjectId: string): void {
    if (!complete) this.failed.push('incomplete');
    else if (candidates[0]?.subjectId !== subjectId) {
      this.failed.push(`${subjectId} was not found, but ${candidates[0]?.subjectId ?? 'nobody'}`);
    }
  }
}
