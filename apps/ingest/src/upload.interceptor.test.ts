import 'reflect-metadata';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Failure, Refusal } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import { Health } from '#platform/health.js';
import type { Log } from '#platform/log.js';
import { IngestMetrics } from '#platform/metrics.js';
import { serveHttp } from '#platform/service-process.js';
import type { Accepted } from './image-submission.js';
import { IngestModule } from './ingest.module.js';
import { UploadLimit } from './upload-limit.js';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
const BODY_MAX = 1_000;
const SERVICE = 'Bearer of-a-service';
const OFFICER = 'Bearer of-an-officer';
/** Its issuer takes a moment to be asked. */
const SLOW_SERVICE = 'Bearer of-a-slow-service';
const VERIFIED_AFTER_MS = 100;

async function verify(authorization: string | undefined): Promise<Actor> {
  if (authorization === undefined) throw new Refusal('TOKEN_REQUIRED', 'Send a bearer token.');
  if (authorization === SLOW_SERVICE) await pause(VERIFIED_AFTER_MS);
  return { id: 'custody', roles: [authorization === OFFICER ? 'officer' : 'service'] };
}

/** Takes everything, and says how long it was in place of where it is in the log. */
async function submit(_actor: Actor, imageId: string, body: unknown): Promise<Accepted> {
  if (imageId === 'kafka-away') throw new Failure('KAFKA_UNAVAILABLE', 'Try again.', true);
  return Promise.resolve({ imageId, source: { partition: 0, offset: (body as Buffer).length } });
}

let health: Health;
let served: Awaited<ReturnType<typeof serveHttp>>;
let url: string;

beforeAll(async () => {
  health = new Health(['topics']);
  health.fulfilled('topics');
  const uploads = new UploadLimit(2 * BODY_MAX, BODY_MAX);
  served = await serveHttp(
    IngestModule.for({ health, metrics: new IngestMetrics(), tokens: { verify }, submission: { submit }, uploads }),
    { host: '127.0.0.1', port: 0, portSetting: 'INGEST_PORT', log: silent, parsesBodies: false, closeMsMax: 500 },
  );
  url = `${served.url}/v1/images/an-image`;
});
afterAll(() => served.stop(health, 0));

interface Begun {
  readonly sent: ClientRequest;
  readonly answer: Promise<IncomingMessage>;
}

/** Its head is sent, of its body one byte. */
function begin(length: number | undefined, authorization?: string, method = 'PUT', to = url): Begun {
  const headers = {
    ...(length === undefined ? { 'transfer-encoding': 'chunked' } : { 'content-length': length }),
    ...(authorization !== undefined && { authorization }),
  };
  const sent = request(to, { method, headers });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve);
    sent.on('error', reject);
  });
  answer.catch(() => undefined);
  sent.flushHeaders();
  sent.write('x');
  return { sent, answer };
}

function put(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
  to = url,
): Promise<Response> {
  return fetch(to, { method: 'PUT', body, headers: { authorization: SERVICE, ...headers } });
}

const putOf = (bytes: number): Promise<Response> => put('x'.repeat(bytes));
const codeOf = async (answer: Response): Promise<string> =>
  `${answer.status} ${((await answer.json()) as { code: string }).code}`;

async function firstWith(status: number, ask: () => Promise<Response>): Promise<Response> {
  for (let attempt = 0; ; attempt++) {
    const answer = await ask();
    if (answer.status === status || attempt === 500) return answer;
  }
}

/** Whether nothing is counted: the most that may be held at once is taken. */
async function expectRoom(): Promise<void> {
  await firstWith(202, () => putOf(BODY_MAX));
  const first = begin(BODY_MAX, SERVICE);
  await pause(20);
  expect((await putOf(BODY_MAX)).status).toBe(202);
  first.sent.end('x'.repeat(BODY_MAX - 1));
  expect((await first.answer).statusCode).toBe(202);
}

describe('images that come over HTTP', () => {
  it('are taken up to so many bytes at a time; then a caller is told when to come back, and is taken then', async () => {
    const first = begin(BODY_MAX, SERVICE);
    const second = begin(undefined, SERVICE);
    // Each is counted when its head has arrived.
    const refused = await firstWith(429, () => putOf(1));
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(await refused.json()).toMatchObject({ code: 'UPLOADS_BUSY', retryable: true });
    expect((await fetch(`${served.url}/health/live`)).status).toBe(200);

    second.sent.end();
    expect((await second.answer).statusCode).toBe(202);
    // One that goes away without having sent everything counts no longer, either.
    first.sent.destroy();
    await expectRoom();
  });

  it('have a size that one may have, whatever they say; one that is larger is refused as such', async () => {
    expect(await codeOf(await putOf(BODY_MAX + 1))).toBe('413 REQUEST_TOO_LARGE');
    const untold = begin(undefined, SERVICE);
    untold.sent.end('x'.repeat(2 * BODY_MAX));
    expect((await untold.answer).statusCode).toBe(413);
    expect((await putOf(BODY_MAX)).status).toBe(202);
    await expectRoom();
  });

  it('are the bytes of the body, whatever their content type', async () => {
    for (const type of ['image/jpeg', 'application/json', 'application/x-www-form-urlencoded', 'nonsense']) {
      const answer = await put('x=1', { 'content-type': type });
      expect(await answer.json(), type).toMatchObject({ source: { offset: 3 } });
    }
  });

  it('are refused compressed: they would be held unpacked', async () => {
    const zeros = gzipSync(Buffer.alloc(BODY_MAX)) as Uint8Array<ArrayBuffer>;
    expect(await codeOf(await put(zeros, { 'content-encoding': 'gzip' }))).toBe('415 MEDIA_TYPE_UNSUPPORTED');
    expect((await put('x', { 'content-encoding': 'Identity' })).status).toBe(202);
    await expectRoom();
  });

  it.each([
    ['of nobody', undefined, 401],
    ['of somebody who may not send any', OFFICER, 403],
  ])('%s are answered at once, and take no place', async (_, authorization, status) => {
    const idle = Array.from({ length: 4 }, () => begin(BODY_MAX, authorization));
    for (const { answer } of idle) expect((await answer).statusCode).toBe(status);
    expect((await putOf(BODY_MAX)).status).toBe(202);
    for (const { sent } of idle) sent.destroy();
  });

  it('take no place before the service can take them', async () => {
    health.lost('topics', 'away');
    const idle = Array.from({ length: 4 }, () => begin(BODY_MAX, SERVICE));
    for (const { answer } of idle) expect((await answer).statusCode).toBe(503);
    health.fulfilled('topics');
    await expectRoom();
    for (const { sent } of idle) sent.destroy();
  });

  it('keep no place when Kafka is away, nor when the sender goes while it is asked who that is', async () => {
    expect((await put('x', {}, `${served.url}/v1/images/kafka-away`)).status).toBe(503);
    const gone = [begin(BODY_MAX, SLOW_SERVICE), begin(BODY_MAX, SLOW_SERVICE)];
    await pause(VERIFIED_AFTER_MS / 2);
    for (const { sent } of gone) sent.destroy();
    await pause(VERIFIED_AFTER_MS);
    await expectRoom();
  });
});

describe('the body of any other request', () => {
  it('is not read: the answer comes before it', async () => {
    const { sent, answer } = begin(BODY_MAX, undefined, 'POST', `${served.url}/nowhere`);
    expect((await answer).statusCode).toBe(404);
    sent.destroy();
  });
});
