/** The filter, the guard and the health endpoints together, in a small application on a real port. */
import 'reflect-metadata';
import { connect } from 'node:net';
import { Body, Controller, Get, HttpException, Module, Param, Post, Put, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { exportJWK, generateKeyPair, SignJWT, createLocalJWKSet } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CodedError } from '#domain/errors.js';
import { Failure, Refusal } from '#domain/errors.js';
import type { Actor, Role } from '#domain/identity.js';
import { Health } from './health.js';
import { httpStatusOf } from './http-status.js';
import { TokenVerifier } from './identity.js';
import type { Log } from './log.js';
import { Metrics } from './metrics.js';
import { AllowAnyone, AllowRoles, CurrentActor, RolesGuard } from './roles.guard.js';
import { OperationsModule, serveHttp } from './service-process.js';

const thrown: Record<string, () => Error> = {
  'multiple-faces': () => new Refusal('MULTIPLE_FACES', 'Say which.', { faces: [{ index: 0 }] }),
  'bad-limit': () => new Refusal('BAD_LIMIT', 'From 1 to 20.'),
  'kafka-away': () => new Failure('KAFKA_UNAVAILABLE', 'Try again.', true, { cause: new Error('10.0.0.7 refused') }),
  'share-taken': () => new Failure('RATE_LIMITED', 'Wait.', true, { retryAfterSeconds: 17 }),
  'model-missing': () => new Failure('MODEL_MISSING', 'Ours.', false),
  bug: () => new TypeError('cannot read face of /srv/secret/jane-doe.jpg'),
  teapot: () => new HttpException('short and stout', 418),
};

@Controller()
class TestController {
  @Get('throw/:what')
  @AllowAnyone()
  throwing(@Param('what') what: string): never {
    throw thrown[what]!();
  }

  @Get('forgotten')
  forgotten(): string {
    return 'open';
  }

  @Get('who')
  @AllowRoles('officer', 'operator')
  who(@CurrentActor() actor: Actor): Actor {
    return actor;
  }

  @Post('json')
  @AllowAnyone()
  json(@Body() body: unknown): unknown {
    return body;
  }

  @Put('bytes')
  @AllowAnyone()
  bytes(@Body() body: Buffer): { length: number } {
    return { length: body.length };
  }
}

@Module({})
class TestModule {
  static with(tokens: TokenVerifier, health: Health, metrics: Metrics): DynamicModule {
    return {
      module: TestModule,
      imports: [OperationsModule.for(health, metrics)],
      controllers: [TestController],
      providers: [{ provide: APP_GUARD, useValue: new RolesGuard(tokens, serving) }],
    };
  }
}

const BODY_BYTES_MAX = 1000;
const logged: { event: string; fields: object | undefined }[] = [];
const log: Log = {
  debug() {},
  info() {},
  warn() {},
  error: (event, fields) => void logged.push({ event, fields }),
};
const health = new Health(['kafka']);
const serving = new Health(['dispositions']);
let stop: Awaited<ReturnType<typeof serveHttp>>['stop'];
let url: string;
let tokenOf: (roles: Role[]) => Promise<string>;

beforeAll(async () => {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'EdDSA' }] });
  tokenOf = (roles) =>
    new SignJWT({ roles })
      .setProtectedHeader({ alg: 'EdDSA', kid: 'k' })
      .setIssuer('i')
      .setAudience('a')
      .setSubject('PC1234')
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(privateKey);
  ({ url, stop } = await serveHttp(TestModule.with(new TokenVerifier(keys, 'i', 'a'), health, new Metrics()), {
    host: '127.0.0.1',
    port: 0,
    portSetting: 'TEST_PORT',
    log,
    configure: (application) =>
      application.useBodyParser('raw', {
        type: (request: { url?: string }) => request.url === '/bytes',
        limit: BODY_BYTES_MAX,
      } as never),
  }));
});
afterAll(() => stop(health, 0));

interface Problem {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
}

async function problemOf(path: string, init: RequestInit = {}): Promise<{ response: Response; problem: Problem }> {
  const response = await fetch(url + path, init);
  return { response, problem: (await response.json()) as Problem };
}

describe('an error over HTTP', () => {
  it('is an RFC 9457 problem with its code, its status and what helps the caller', async () => {
    const { response, problem } = await problemOf('/throw/multiple-faces');
    expect(response.status).toBe(422);
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(problem).toEqual({
      type: 'urn:custody-face-search:error:MULTIPLE_FACES',
      title: 'MULTIPLE_FACES',
      status: 422,
      code: 'MULTIPLE_FACES',
      detail: 'Say which.',
      retryable: false,
      details: { faces: [{ index: 0 }] },
    });
  });

  it.each([
    ['bad-limit', 400, 'BAD_LIMIT'],
    ['kafka-away', 503, 'KAFKA_UNAVAILABLE'],
    ['share-taken', 429, 'RATE_LIMITED'],
    ['model-missing', 500, 'MODEL_MISSING'],
    ['bug', 500, 'INTERNAL'],
    ['teapot', 418, 'BAD_REQUEST'],
  ])('%s is %i %s', async (what, status, code) => {
    const { response, problem } = await problemOf(`/throw/${what}`);
    expect([response.status, problem.status, problem.code]).toEqual([status, status, code]);
  });

  it('shows nothing of what went wrong inside, and logs it', async () => {
    logged.length = 0;
    for (const what of ['bug', 'kafka-away']) {
      const text = await (await fetch(`${url}/throw/${what}`)).text();
      expect(text).not.toMatch(/secret|10\.0\.0\.7|\.ts/);
    }
    expect(logged.map(({ event }) => event)).toEqual(['request-failed', 'request-failed']);
    expect(JSON.stringify(logged)).toContain('jane-doe');
    expect(JSON.stringify(logged)).toContain('10.0.0.7 refused');
  });

  it('says when to come back, where that may help, and only there', async () => {
    expect((await fetch(`${url}/throw/kafka-away`)).headers.get('retry-after')).toBe('1');
    expect((await fetch(`${url}/throw/share-taken`)).headers.get('retry-after')).toBe('17');
    expect((await fetch(`${url}/throw/bad-limit`)).headers.get('retry-after')).toBeNull();
  });

  it('that Nest or its parsers find has a code too: an unknown path, bad JSON, a body that is too large', async () => {
    expect((await problemOf('/nowhere')).problem).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    const json = { 'content-type': 'application/json' };
    expect((await problemOf('/json', { method: 'POST', headers: json, body: '{' })).problem).toMatchObject({
      status: 400,
      code: 'BAD_REQUEST',
    });
    const large = JSON.stringify({ text: 'x'.repeat(200_000) });
    expect((await problemOf('/json', { method: 'POST', headers: json, body: large })).problem).toMatchObject({
      status: 413,
      code: 'REQUEST_TOO_LARGE',
    });
    const bytes = (size: number): RequestInit => ({ method: 'PUT', body: Buffer.alloc(size) });
    expect((await fetch(`${url}/bytes`, bytes(BODY_BYTES_MAX))).status).toBe(200);
    expect((await problemOf('/bytes', bytes(BODY_BYTES_MAX + 1))).problem).toMatchObject({
      status: 413,
      code: 'REQUEST_TOO_LARGE',
    });
  });

  it('is 405 where the path has another method, and says which', async () => {
    const { response, problem } = await problemOf('/json', { method: 'DELETE' });
    expect([response.status, problem.code]).toEqual([405, 'METHOD_NOT_ALLOWED']);
    expect(response.headers.get('allow')).toBe('POST');
    expect((await fetch(`${url}/throw/x`, { method: 'PATCH' })).headers.get('allow')).toBe('GET, HEAD');
    expect((await problemOf('/throw/%zz', { method: 'PATCH' })).problem).toMatchObject({ status: 400 });
  });

  it('is a problem even where Node cannot read the request', async () => {
    const long = await fetch(`${url}/who`, { headers: { 'x-long': 'x'.repeat(20_000) } });
    expect(long.status).toBe(431);
    expect(await long.json()).toMatchObject({ status: 431, code: 'REQUEST_HEAD_TOO_LARGE' });
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write('GET /who HTTP/9\r\n\r\n'));
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('end', () => resolve(text));
      socket.on('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({ status: 400, code: 'BAD_REQUEST' });
  });

  it('says PORT_IN_USE and which setting to change when the port is taken', async () => {
    const port = Number(new URL(url).port);
    const second = serveHttp(OperationsModule.for(health, new Metrics()), {
      host: '127.0.0.1',
      port,
      portSetting: 'QUERY_PORT',
      log,
    });
    await expect(second).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    await expect(second).rejects.toThrow(/QUERY_PORT/);
  });
});

describe('the status of a code', () => {
  it.each<[CodedError, number]>([
    [new Refusal('ANYTHING', ''), 400],
    [new Refusal('TOKEN_REQUIRED', ''), 401],
    [new Refusal('ROLE_NOT_ALLOWED', ''), 403],
    [new Refusal('SEARCH_NOT_FOUND', ''), 404],
    [new Refusal('VERSION_CONFLICT', ''), 409],
    [new Refusal('IMAGE_TOO_LARGE', ''), 413],
    [new Refusal('IMAGE_FORMAT_UNSUPPORTED', ''), 415],
    [new Refusal('IMAGE_UNREADABLE', ''), 422],
    [new Failure('ENGINE_BUSY', '', true), 429],
    [new Failure('AUDIT_UNAVAILABLE', '', true), 503],
    [new Failure('ANYTHING', '', false), 500],
  ])('%s is %i', (error, status) => {
    expect(httpStatusOf(error)).toBe(status);
  });
});

describe('the roles guard', () => {
  const who = async (roles?: Role[]): Promise<Response> =>
    fetch(`${url}/who`, { headers: roles === undefined ? {} : { authorization: `Bearer ${await tokenOf(roles)}` } });

  it('lets nobody in before the service is ready, whatever the token', async () => {
    const early = await who(['operator']);
    expect(early.status).toBe(503);
    expect(await early.json()).toMatchObject({ code: 'NOT_READY', retryable: true });
    serving.fulfilled('dispositions');
  });

  it('lets in who holds one of the roles, and says who it is', async () => {
    const response = await who(['operator', 'auditor']);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ id: 'PC1234', roles: ['operator', 'auditor'] });
  });

  it('refuses who shows no token with 401, and who holds another role with 403', async () => {
    // A handler that nobody thought of is closed, token or not.
    expect((await fetch(`${url}/forgotten`)).status).toBe(403);
    const without = await who();
    expect(without.status).toBe(401);
    expect(without.headers.get('www-authenticate')).toBe('Bearer');
    const other = await who(['auditor']);
    expect(other.status).toBe(403);
    expect(((await other.json()) as Problem).code).toBe('ROLE_NOT_ALLOWED');
  });
});

describe('the operations endpoints', () => {
  it('answer without a token: started, ready, live and the metrics', async () => {
    const statuses = async (): Promise<number[]> =>
      Promise.all(['startup', 'ready', 'live'].map(async (what) => (await fetch(`${url}/health/${what}`)).status));
    expect(await statuses()).toEqual([503, 503, 200]);
    health.fulfilled('kafka');
    expect(await statuses()).toEqual([200, 200, 200]);
    const metrics = await fetch(`${url}/metrics`);
    expect(metrics.headers.get('content-type')).toMatch(/^text\/plain/);
    const text = await metrics.text();
    expect(text).toContain('custody_consumer_lag_records');
    expect(text).toContain('nodejs_eventloop_lag_seconds');
  });
});
