/**
 * Lets a request for a search in before its body is read: the guards have said who asks, and nothing of the picture is in
 * memory yet. The place is kept until the answer is known.
 */
import { Inject, Injectable, mixin, type CallHandler, type ExecutionContext, type Type } from '@nestjs/common';
import type { NestInterceptor } from '@nestjs/common';
import type { Request } from 'express';
import { from, lastValueFrom, type Observable } from 'rxjs';
import type { Actor } from '#domain/identity.js';
import type { SearchKind } from '#domain/search-answer.js';
import { SearchAdmission } from './search-admission.js';

export function Admits(kind: SearchKind): Type<NestInterceptor> {
  @Injectable()
  class AdmissionInterceptor implements NestInterceptor {
    constructor(@Inject(SearchAdmission) private readonly admission: Pick<SearchAdmission, 'run'>) {}

    /** @throws Refusal SEARCH_SUSPENDED, MODEL_NOT_APPROVED; Failure CONCURRENCY_LIMITED */
    intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
      const { actor } = context.switchToHttp().getRequest<Request & { readonly actor: Actor }>();
      return from(this.admission.run(kind, actor, () => lastValueFrom(next.handle() as Observable<unknown>)));
    }
  }
  return mixin(AdmissionInterceptor);
}
