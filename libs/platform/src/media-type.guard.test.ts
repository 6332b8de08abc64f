import 'reflect-metadata';
import { Body, Controller, HttpCode, Module, Post } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Health } from './health.js';
import { AllowAnyone } from './roles.guard.js';
import { serveHttp } from './service-process.js';
import type { Log } from './log.js';
import { MediaTypeGuard, TakesForm } from './media-type.guard.js';

@Controller('v1')
@AllowAnyone()
class TestController {
  @Post('reviews')
  @HttpCode(200)
  json(@Body() body: unknown): unknown {
    return body ?? null;
  }

  @Post('searches/operator')
  @HttpCode(200)
  @TakesForm()
  form(): string {
    return 'read';
  }
}

@Module({ controllers: [TestController], providers: [{ provide: APP_GUARD, useValue: new MediaTypeGuard() }] })
class TestModule {}

const log: Log = { debug() {}, info() {}, warn() {}, error() {} };

describe('a body of another media type than the call takes', () => {
  let stop: Awaited<ReturnType<typeof serveHttp>>['stop'];
  let url: string;

  beforeAll(async () => {
    const options = { host: '127.0.0.1', port: 0, portSetting: 'TEST_PORT', log };
    ({ url, stop } = await serveHttp({ module: TestModule }, options));
  });
  afterAll(() => stop(new Health([]), 0));

  async function send(
    path: string,
    body?: string | FormData,
    type?: string,
  ): Promise<{ status: number; text: string }> {
    const response = await fetch(`${url}/v1/${path}`, {
      method: 'POST',
      ...(type !== undefined && { headers: { 'content-type': type } }),
      ...(body !== undefined && { body }),
    });
    return { status: response.status, text: await response.text() };
  }

  async function codeOf(path: string, body: string, type: string): Promise<string> {
    const { status, text } = await send(path, body, type);
    return `${status} ${(JSON.parse(text) as { code: string }).code}`;
  }

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'nonsense'])(
    'is refused as such: %s for JSON',
    async (type) => {
      expect(await codeOf('reviews', 'reason=because', type)).toBe('415 MEDIA_TYPE_UNSUPPORTED');
    },
  );

  it('is refused as such: JSON for a form', async () => {
    expect(await codeOf('searches/operator', '{}', 'application/json')).toBe('415 MEDIA_TYPE_UNSUPPORTED');
  });

  it('is not there when there is no body', async () => {
    expect((await send('reviews')).status).toBe(200);
    expect((await send('searches/operator', new FormData())).status).toBe(200);
    expect((await send('reviews', '{"a":1}', 'application/json; charset=utf-8')).text).toBe('{"a":1}');
  });
});
