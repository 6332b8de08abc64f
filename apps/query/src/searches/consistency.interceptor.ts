import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { Request, Response } from 'express';
import { tap, type Observable } from 'rxjs';
import { Failure } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import { ConcurrencyLimit } from '#platform/concurrency-limit.js';
import {
  CONSISTENCY_TOKEN_HEADER,
  formatConsistencyToken,
  parseConsistencyToken,
  type ConsistencyToken,
} from './consistency-token.js';
import type { SearchView } from './search-view.js';

/** A view that is further behind than this has another trouble than haste. */
const CONSISTENCY_DEADLINE_MS = 5_000;
/** Of one person at a time. A token can name a version that never comes, and every batch asks each that waits. */
const WAITING_MAX = 16;

/**
 * Before a request that carries a token, waits for this replica's view; after a POST whose answer is a search at a
 * version, hands out the token for it.
 */
export class ConsistencyInterceptor implements NestInterceptor {
  private readonly waiting = new ConcurrencyLimit(WAITING_MAX);

  constructor(private readonly view: Pick<SearchView, 'shows'>) {}

  /** @throws Refusal BAD_CONSISTENCY_TOKEN; Failure VIEW_BEHIND, also for who has too many requests waiting already */
  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const request = http.getRequest<Request & { readonly actor?: Actor }>();
    const token = request.header(CONSISTENCY_TOKEN_HEADER);
    // What anybody may ask shows no search, and waits for none.
    if (token !== undefined && request.actor !== undefined)
      await this.wait(parseConsistencyToken(token), request.actor);
    return next.handle().pipe(
      tap((answer) => {
        if (request.method !== 'POST' || !isSearchAtVersion(answer)) return;
        http.getResponse<Response>().setHeader(CONSISTENCY_TOKEN_HEADER, formatConsistencyToken(answer));
      }),
    );
  }

  private async wait({ searchId, version }: ConsistencyToken, { id }: Actor): Promise<void> {
    const end = this.waiting.begin(id);
    if (end === undefined) {
      throw new Failure('VIEW_BEHIND', `${WAITING_MAX} of your requests wait for this already; try again.`, true);
    }
    try {
      await this.view.shows(searchId, version, CONSISTENCY_DEADLINE_MS);
    } finally {
      end();
    }
  }
}

function isSearchAtVersion(answer: unknown): answer is ConsistencyToken {
  return typeof answer === 'object' && answer !== null && 'searchId' in answer && 'version' in answer;
}
