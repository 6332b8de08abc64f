/**
 * How many searches are let in: a person has a share of each minute and a few at a time; each kind of search has its own
 * places, so that a flood of one never takes those of the other; a system on Kafka has a share of each minute too. The
 * shares are counted in this process: with several replicas, each allows as many.
 */
import { Failure, Refusal, type CodedError } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import type { SearchKind } from '#domain/search-answer.js';
import { ConcurrencyLimit } from '#platform/concurrency-limit.js';
import type { QueryMetrics } from '#platform/metrics.js';
import { RateLimit } from '#platform/rate-limit.js';
import type { SearchPermits } from './search-permits.js';

/**
 * Requests of each kind in this process at a time. An officer's picture of 8 MiB is in memory for its whole search: 64
 * of them are half a gigabyte. A retrospective request is only handed on to the log.
 */
const IN_FLIGHT_MAX: Readonly<Record<SearchKind, number>> = { operator: 64, retrospective: 16 };
/** Far more than wait for something that is away at the same time: an owner handles one request after the other. */
const ADMITTED_REMEMBERED = 1_000;
const MINUTE_MS = 60_000;

export class SearchAdmission {
  private readonly rate: RateLimit;
  private readonly requestsOfPerson: RateLimit;
  private readonly requestsOfSystem: RateLimit;
  private readonly admitted = new Set<SearchId>();
  private readonly atATime: ConcurrencyLimit;
  private readonly places: Readonly<Record<SearchKind, ConcurrencyLimit>> = {
    operator: new ConcurrencyLimit(IN_FLIGHT_MAX.operator),
    retrospective: new ConcurrencyLimit(IN_FLIGHT_MAX.retrospective),
  };

  constructor(
    private readonly permits: Pick<SearchPermits, 'check'>,
    limits: { readonly perMinute: number; readonly systemPerMinute: number; readonly atATime: number },
    private readonly ownSystem: string,
    private readonly metrics: QueryMetrics,
  ) {
    this.rate = new RateLimit(limits.perMinute);
    this.requestsOfPerson = new RateLimit(limits.perMinute);
    this.requestsOfSystem = new RateLimit(limits.systemPerMinute);
    this.atATime = new ConcurrencyLimit(limits.atATime);
  }

  /**
   * Runs a person's request for a search if there is a place for it: before its picture is received, because what is
   * received is in memory.
   *
   * @throws Refusal SEARCH_SUSPENDED, MODEL_NOT_APPROVED; Failure CONCURRENCY_LIMITED; whatever `request` throws
   */
  async run<T>(kind: SearchKind, actor: Actor, request: () => Promise<T>): Promise<T> {
    this.permits.check(kind);
    const endOfPerson = this.atATime.begin(actor.id);
    const endOfPlace = endOfPerson && this.places[kind].begin('');
    try {
      if (endOfPlace === undefined) {
        const text =
          endOfPerson === undefined
            ? `You have ${this.atATime.max} searches running; wait for one to end.`
            : `${this.places[kind].max} such searches are running here, as many as may; try again.`;
        throw this.counted(kind, new Failure('CONCURRENCY_LIMITED', text, true));
      }
      return await request();
    } finally {
      endOfPlace?.();
      endOfPerson?.();
    }
  }

  /** Takes one search of the person's minute, when the request is known to be one. @throws Failure RATE_LIMITED */
  take(kind: SearchKind, actor: Actor): void {
    const waitMs = this.rate.take(actor.id, performance.now());
    if (waitMs === 0) return;
    const retryAfterSeconds = Math.ceil(waitMs / 1000);
    const text = `A person may search ${this.rate.perMinute} times a minute; the next is free in ${retryAfterSeconds} s.`;
    throw this.counted(kind, new Failure('RATE_LIMITED', text, true, { retryAfterSeconds }));
  }

  /**
   * Whether a request that a system put on the log may become a search. Judged by the minute of the log in which it was
   * sent, whenever it is read: working off what waited for hours is no flood.
   *
   * @param request `sentAtMs`: LogAppendTime
   * @throws Refusal SEARCH_SUSPENDED, MODEL_NOT_APPROVED, REQUEST_RATE_LIMITED
   */
  admitRequest(request: {
    readonly searchId: SearchId;
    readonly system: string;
    readonly person: string;
    readonly sentAtMs: number;
  }): void {
    this.permits.check('retrospective');
    // What came over HTTP has been counted there; what is tried again because something was away, here.
    if (request.system === this.ownSystem || this.admitted.has(request.searchId)) return;
    const minute = Math.floor(request.sentAtMs / MINUTE_MS);
    for (const [who, limit] of [
      [request.system, this.requestsOfSystem],
      [request.person, this.requestsOfPerson],
    ] as const) {
      if (limit.take(`${who} ${minute}`, request.sentAtMs) === 0) continue;
      throw this.counted(
        'retrospective',
        new Refusal(
          'REQUEST_RATE_LIMITED',
          `${who} has sent more than ${limit.perMinute} requests in a minute; send this one again, under a new searchId.`,
        ),
      );
    }
    this.remember(request.searchId);
  }

  private remember(id: SearchId): void {
    this.admitted.add(id);
    const [oldest] = this.admitted;
    if (this.admitted.size > ADMITTED_REMEMBERED) this.admitted.delete(oldest!);
  }

  private counted<E extends CodedError>(kind: SearchKind, error: E): E {
    this.metrics.rateLimitedTotal.inc({ kind });
    return error;
  }
}
