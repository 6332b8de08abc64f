/** Searches that go on without a pause, as officers make them, and what came of each. */
import type { SearchAnswer } from '#domain/search-answer.js';
import { call } from '#testkit/http-for-tests.js';
import type { RunningSystem } from '#testkit/running-system.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';

export class SearchLoad {
  /** What was not a success, as it came. */
  readonly failed: string[] = [];
  readonly answers: SearchAnswer[] = [];
  private readonly loops: Promise<void>[];
  private stopped = false;

  /** @param token of an officer, good for a quarter of an hour */
  constructor(system: RunningSystem, token: string, probe: Uint8Array, atATime = 2) {
    const url = `${system.queryUrl}/v1/searches/operator`;
    const loop = async (): Promise<void> => {
      while (!this.stopped) {
        try {
          const { status, text } = await call('POST', url, token, operatorForm(probe));
          if (status === 200) this.answers.push(JSON.parse(text) as SearchAnswer);
          else this.failed.push(`${status} ${text}`);
        } catch (error) {
          this.failed.push(String(error));
        }
      }
    };
    this.loops = Array.from({ length: atATime }, loop);
  }

  get incomplete(): readonly SearchAnswer[] {
    return this.answers.filter(({ complete }) => !complete);
  }

  /** Each different list that was shown: who, which image, with what score. */
  get lists(): readonly string[] {
    const lists = this.answers.map(({ candidates }) =>
      candidates.map(({ subjectId, imageId, score }) => `${subjectId} ${imageId} ${score}`).join('\n'),
    );
    return [...new Set(lists)];
  }

  /** Resolves when so many more have been answered. */
  async more(searches: number): Promise<void> {
    const until = this.answers.length + this.failed.length + searches;
    while (this.answers.length + this.failed.length < until) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.loops);
  }
}
