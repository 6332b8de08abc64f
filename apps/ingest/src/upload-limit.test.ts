import 'reflect-metadata';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { Body, Controller, Module, Put } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Health } from '#platform/health.js';
import type { Log } from '#platform/log.js';
import { serveHttp } from '#platform/service-process.js';
import { uploadLimit } from './upload-limit.js';

@Controller()
class TestController {
  @Put('image')
  image(@Body() body: Buffer): { length: number } {
    return { length: body.length };
  }
}

@Module({ controllers: [TestController] })
class TestModule {}

const silent = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log;
const BODY_MAX = 1_000;

describe('images that come over HTTP', () => {
  let url: string;
  let stop: (health: Health, drainSeconds: number) => Promise<void>;

  beforeAll(async () => {
    const served = await serveHttp(
      { module: TestModule },
      {
        host: '127.0.0.1',
        port: 0,
        portSetting: 'INGEST_PORT',
        log: silent,
        configure: (app) => {
          app.use(uploadLimit(2 * BODY_MAX, BODY_MAX));
          app.useBodyParser('raw', { type: () => true, limit: BODY_MAX });
        },
      },
    );
    ({ url, stop } = served);
  });
  afterAll(() => stop(new Health([]), 0));

  /** Its head is sent, its body is not. */
  function begin(length: number | undefined): { sent: ClientRequest; answer: Promise<IncomingMessage> } {
    const headers = length === undefined ? { 'transfer-encoding': 'chunked' } : { 'content-length': length };
    const sent = request(`${url}/image`, { method: 'PUT', headers });
    const answer = new Promise<IncomingMessage>((resolve, reject) => {
      sent.once('response', resolve);
      sent.once('error', reject);
    });
    answer.catch(() => undefined);
    sent.flushHeaders();
    sent.write('x');
    return { sent, answer };
  }

  const put = (bytes: number): Promise<Response> => fetch(`${url}/image`, { method: 'PUT', body: 'x'.repeat(bytes) });

  async function firstWith(status: number, ask: () => Promise<Response>): Promise<Response> {
    for (let attempt = 0; ; attempt++) {
      const answer = await ask();
      if (answer.status === status || attempt === 500) return answer;
    }
  }

  it('are taken up to so many bytes at a time; then a caller is told when to come back, and is taken then', async () => {
    const first = begin(BODY_MAX);
    const second = begin(undefined);
    // Each is counted when its head has arrived.
    const refused = await firstWith(429, () => put(1));
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(await refused.json()).toMatchObject({ code: 'UPLOADS_BUSY', retryable: true });
    expect((await fetch(`${url}/image`)).status).not.toBe(429);

    second.sent.end();
    expect((await second.answer).statusCode).toBe(200);
    // One that goes away without having sent everything counts no longer, either.
    first.sent.destroy();
    await firstWith(200, () => put(BODY_MAX));
    const [one, other] = await Promise.all([put(BODY_MAX), put(BODY_MAX)]);
    expect([one.status, other.status]).toEqual([200, 200]);
  });

  it('count as the most that one may have, whatever they say; one that is larger is refused as such', async () => {
    expect((await put(BODY_MAX + 1)).status).toBe(413);
    expect((await put(BODY_MAX)).status).toBe(200);
  });
});
