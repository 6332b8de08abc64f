import type { CallHandler, ExecutionContext } from '@nestjs/common';
import { firstValueFrom, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { Failure } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import { formatConsistencyToken, parseConsistencyToken } from './consistency-token.js';
import { ConsistencyInterceptor } from './consistency.interceptor.js';

const searchId = '5f0c7a52-1c7a-4f5e-9d1e-1f2d3c4b5a69' as SearchId;

const somebody: Actor = { id: 'op-1', roles: ['operator'] };

/** One request through it. The view shows versions up to `shown`, and waits for nothing. */
async function through(request: {
  method: string;
  token?: string;
  shown?: number;
  answer: unknown;
  actor?: Actor | undefined;
}) {
  const view = {
    shows: (_id: SearchId, version: number): Promise<void> =>
      version <= (request.shown ?? 0) ? Promise.resolve() : Promise.reject(new Failure('VIEW_BEHIND', 'later', true)),
  };
  const headers = new Map<string, string>();
  const context = {
    switchToHttp: () => ({
      getRequest: () => ({
        method: request.method,
        header: () => request.token,
        actor: 'actor' in request ? request.actor : somebody,
      }),
      getResponse: () => ({ setHeader: (name: string, value: string) => headers.set(name, value) }),
    }),
  } as unknown as ExecutionContext;
  let handled = false;
  const next: CallHandler = {
    handle: () => {
      handled = true;
      return of(request.answer);
    },
  };
  const run = async (): Promise<unknown> =>
    firstValueFrom(await new ConsistencyInterceptor(view).intercept(context, next));
  const code = await codeOfAsync(run);
  return { code, handled, handedOut: headers.get('consistency-token') };
}

describe('reading what one has written', () => {
  it('gets with each POST about a search the token for its version', async () => {
    const { handedOut } = await through({ method: 'POST', answer: { searchId, version: 3 } });
    expect(parseConsistencyToken(handedOut!)).toEqual({ searchId, version: 3 });
  });

  it('gets none with a GET, nor with a POST about something else', async () => {
    expect((await through({ method: 'GET', answer: { searchId, version: 3 } })).handedOut).toBeUndefined();
    expect((await through({ method: 'POST', answer: { searchId, eventsForgotten: 3 } })).handedOut).toBeUndefined();
    expect((await through({ method: 'POST', answer: null })).handedOut).toBeUndefined();
  });

  it('reaches the handler only when the view shows what the token says', async () => {
    const token = formatConsistencyToken({ searchId, version: 3 });
    expect(await through({ method: 'GET', token, shown: 3, answer: 1 })).toMatchObject({ handled: true });
    expect(await through({ method: 'GET', token, shown: 2, answer: 1 })).toMatchObject({
      handled: false,
      code: 'VIEW_BEHIND',
    });
    expect(await through({ method: 'POST', token: 'x', shown: 3, answer: 1 })).toMatchObject({
      handled: false,
      code: 'BAD_CONSISTENCY_TOKEN',
    });
  });

  it('is not waited for where nobody has said who asks', async () => {
    const token = formatConsistencyToken({ searchId, version: 3 });
    expect(await through({ method: 'GET', token, shown: 2, answer: 1, actor: undefined })).toMatchObject({
      handled: true,
      code: undefined,
    });
  });

  it('takes no more than a few of one person’s requests at a time, and those of others besides', async () => {
    const never = Promise.withResolvers<void>();
    const interceptor = new ConsistencyInterceptor({ shows: () => never.promise });
    const ask = (id: string): Promise<unknown> => {
      const request = { method: 'GET', header: () => formatConsistencyToken({ searchId, version: 9 }), actor: { id } };
      const context = { switchToHttp: () => ({ getRequest: () => request }) } as unknown as ExecutionContext;
      return interceptor.intercept(context, { handle: () => of(1) });
    };
    const waiting = Array.from({ length: 16 }, () => ask('op-1'));
    expect(await codeOfAsync(() => ask('op-1'))).toBe('VIEW_BEHIND');
    waiting.push(ask('op-2'));
    never.resolve();
    expect(await Promise.all(waiting)).toHaveLength(17);
    await ask('op-1');
  });
});
