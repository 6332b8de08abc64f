import type { ModelId } from '#domain/ids.js';
import type { TopicAdmin } from '#kafka/topic-admin.js';

/** A gallery is added by the year; its builder follows every tombstone of the one that this process writes to. */
const KNOWN_FOR_MS = 5_000;

/** The models, other than a process's own, that have a gallery: those whose topics exist. */
export class OtherGenerations {
  private known: { readonly models: readonly ModelId[]; readonly untilMs: number } | undefined;

  constructor(
    private readonly own: ModelId,
    private readonly topics: Pick<TopicAdmin, 'generations'>,
  ) {}

  /** @throws Failure KAFKA_UNAVAILABLE */
  async list(): Promise<readonly ModelId[]> {
    const nowMs = Date.now();
    if (this.known === undefined || this.known.untilMs < nowMs) {
      const models = (await this.topics.generations()).filter((model) => model !== this.own);
      this.known = { models, untilMs: nowMs + KNOWN_FOR_MS };
    }
    return this.known.models;
  }
}
