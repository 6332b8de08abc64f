/**
 * Many people who decide about the same searches at the same time, over HTTP, on all replicas. What each of them was
 * told is kept, to be compared with the log afterwards.
 */
import { randomUUID } from 'node:crypto';
import { seededRandom } from '#gallery/vectors-for-tests.js';
import type { CommandActor } from '#domain/retrospective-commands.js';
import type { SearchId } from '#domain/ids.js';
import { idempotentId } from '#platform/idempotency.js';
import type { Replica } from './query-replica.js';
import { intentionFor, pick, requestOf, type PersonsAction, type Random, type SeenSearch } from './review-people.js';

/** People who have the same search open at a time, and decide on what they saw. */
const COLLEAGUES_MIN = 2;
const COLLEAGUES_MAX = 4;
/** A replica that died says nothing; one that is paused neither. */
const ANSWER_MS_MAX = 20_000;
const REPETITIONS_MAX = 5;

/** What the person was told. */
export type Told =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly code: string; readonly winner: Winner | undefined }
  /** A broken connection, or a failure on our side: done or not, the log knows. */
  | { readonly kind: 'unknown'; readonly code: string };

export interface Winner {
  readonly version: number;
  readonly type: string;
  readonly by: string;
}

export interface GivenCommand {
  readonly commandId: string;
  readonly searchId: SearchId;
  readonly actor: CommandActor;
  readonly action: PersonsAction;
  /** The version that the person saw. */
  readonly seenVersion: number;
  readonly meantToBeLegal: boolean;
  readonly told: Told;
}

interface Answer {
  readonly status: number;
  readonly body: { readonly code?: string; readonly details?: { readonly winner?: Winner } };
}

export class ReviewLoad {
  readonly given: GivenCommand[] = [];
  /** So many answers of each code, also of those that were followed by a repetition. */
  readonly answers = new Map<string, number>();
  private begun = 0;
  private failed: Error | undefined;

  constructor(
    private readonly replicas: readonly Replica[],
    private readonly searches: readonly SearchId[],
    private readonly tokenOf: (person: string) => string,
    private readonly commands: number,
    private readonly seed: number,
  ) {}

  async run(parties: number): Promise<void> {
    await Promise.all(
      Array.from({ length: parties }, async (_, party) => {
        const random = seededRandom(this.seed + party);
        while (this.begun < this.commands && this.failed === undefined) {
          await this.decideTogether(random).catch((error: unknown) => (this.failed = error as Error));
        }
      }),
    );
    if (this.failed !== undefined) throw this.failed;
  }

  /** Resolves when so much of the load has been answered. */
  async reached(fraction: number): Promise<void> {
    while (this.given.length < fraction * this.commands) {
      if (this.failed !== undefined) throw this.failed;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Those that lost to somebody who was first: legal in what the person saw, and no longer when it was judged. */
  conflicts(): number {
    return this.given.filter(
      ({ told, meantToBeLegal }) =>
        meantToBeLegal && told.kind === 'refused' && ['VERSION_CONFLICT', 'ILLEGAL_MOVE'].includes(told.code),
    ).length;
  }

  /** Each of some people decides on what one replica shows now. */
  private async decideTogether(random: Random): Promise<void> {
    const seen = await this.see(pick(this.searches, random), random);
    if (seen === undefined) return;
    const colleagues = COLLEAGUES_MIN + Math.floor(random() * (COLLEAGUES_MAX - COLLEAGUES_MIN + 1));
    const intentions = Array.from({ length: colleagues }, () => intentionFor(seen, random)).filter(
      (intention) => intention !== undefined,
    );
    await Promise.all(
      intentions.map(async ({ actor, action, meantToBeLegal }) => {
        if (this.begun >= this.commands) return;
        this.begun++;
        const searchId = seen.searchId as SearchId;
        const { path, body } = requestOf(action, seen.version);
        const key = randomUUID();
        const commandId = idempotentId(actor.id, `POST /v1/searches/${searchId}/${path}`, key);
        const told = await this.tell(`/v1/searches/${searchId}/${path}`, actor.id, body, key, random);
        this.given.push({ commandId, searchId, actor, action, seenVersion: seen.version, meantToBeLegal, told });
      }),
    );
  }

  private async see(searchId: SearchId, random: Random): Promise<SeenSearch | undefined> {
    const answer = await this.send('GET', `/v1/searches/${searchId}`, 'op-1', random);
    return answer?.status === 200 ? (answer.body as unknown as SeenSearch) : undefined;
  }

  /** A person who was not answered sends the request again with its key, or gives up. */
  private async tell(path: string, person: string, body: object, key: string, random: Random): Promise<Told> {
    for (let repetition = 0; ; repetition++) {
      const answer = await this.send('POST', path, person, random, body, key);
      const told = toldBy(answer);
      const code = told.kind === 'accepted' ? 'accepted' : told.code;
      this.answers.set(code, (this.answers.get(code) ?? 0) + 1);
      if (told.kind !== 'unknown' || repetition >= REPETITIONS_MAX || random() < 0.3) return told;
    }
  }

  /** @returns undefined when the connection broke */
  private async send(
    method: string,
    path: string,
    person: string,
    random: Random,
    body?: object,
    key?: string,
  ): Promise<Answer | undefined> {
    const up = this.replicas.filter(({ isUp }) => isUp);
    const { url } = pick(up.length > 0 ? up : this.replicas, random);
    const headers: Record<string, string> = { authorization: `Bearer ${this.tokenOf(person)}` };
    if (key !== undefined) headers['idempotency-key'] = key;
    if (body !== undefined) headers['content-type'] = 'application/json';
    try {
      const response = await fetch(url + path, {
        method,
        headers,
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: (await response.json()) as Answer['body'] };
    } catch {
      return undefined;
    }
  }
}

function toldBy(answer: Answer | undefined): Told {
  if (answer === undefined) return { kind: 'unknown', code: 'connection broken' };
  if (answer.status < 300) return { kind: 'accepted' };
  const code = answer.body.code ?? `${answer.status} without a code`;
  if (answer.status >= 500) return { kind: 'unknown', code };
  return { kind: 'refused', code, winner: answer.body.details?.winner };
}
