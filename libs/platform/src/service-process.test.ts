import { Controller, Get, Module, Res, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { once } from 'node:events';
import { Agent, request, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Actor } from '#domain/identity.js';
import { Health } from './health.js';
import { Metrics } from './metrics.js';
import { AllowAnyone, AllowRoles, CurrentActor, RolesGuard } from './roles.guard.js';
import { OperationsModule, serveHttp } from './service-process.js';

const officer: Actor = { id: 'PC1234', roles: ['officer'] };
const CLOSE_MS_MAX = 300;

@Controller()
@AllowAnyone()
class SlowController {
  @Get('slow')
  async slow(): Promise<string> {
    await pause(300);
    return 'done';
  }

  /** Of which there is always more. */
  @Get('endless')
  endless(@Res() response: ServerResponse): void {
    response.write('line\n');
  }

  @Get('who')
  @AllowRoles('officer')
  who(@CurrentActor() actor: Actor): Actor {
    return actor;
  }
}

@Module({})
class ServiceModule {
  static for(health: Health): DynamicModule {
    return {
      module: ServiceModule,
      controllers: [SlowController],
      imports: [OperationsModule.for(health, new Metrics())],
      providers: [{ provide: APP_GUARD, useValue: new RolesGuard({ verify: () => Promise.resolve(officer) }, health) }],
    };
  }
}

interface Answer {
  readonly status: number;
  readonly connection: string | undefined;
}

/** Over connections that are kept, as a balancer does. */
function get(agent: Agent, url: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request(url, { agent }, (response) => {
      response.resume().once('end', () => {
        resolve({ status: response.statusCode!, connection: response.headers.connection });
      });
    })
      .once('error', reject)
      .end();
  });
}

/** On a connection of its own, which this end does not close. */
async function said(url: string, text: string, allowHalfOpen = false): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen }).on('error', () => undefined);
  await once(socket, 'connect');
  socket.resume().write(text);
  return socket;
}

interface Served extends Awaited<ReturnType<typeof serveHttp>> {
  readonly health: Health;
  readonly agent: Agent;
  /** What it has logged as a warning. */
  readonly events: readonly string[];
}

async function serve(): Promise<Served> {
  const events: string[] = [];
  const health = new Health(['start']);
  health.fulfilled('start');
  const server = await serveHttp(ServiceModule.for(health), {
    host: '127.0.0.1',
    port: 0,
    portSetting: 'QUERY_PORT',
    log: { debug() {}, info() {}, warn: (event) => events.push(event), error() {} },
    closeMsMax: CLOSE_MS_MAX,
  });
  return { health, agent: new Agent({ keepAlive: true }), events, ...server };
}

describe('a service that is asked to stop', () => {
  it('is not ready, answers whoever asks still, and tells them to use another connection', async () => {
    const { health, agent, url, stop } = await serve();
    expect(await get(agent, `${url}/health/ready`)).toEqual({ status: 200, connection: 'keep-alive' });
    const stopped = stop(health, 1);
    expect(await get(agent, `${url}/health/ready`)).toEqual({ status: 503, connection: 'close' });
    expect(await get(agent, `${url}/health/live`)).toEqual({ status: 200, connection: 'close' });
    expect(await get(agent, `${url}/who`)).toEqual({ status: 200, connection: 'close' });
    await stopped;
    await expect(get(agent, `${url}/health/live`)).rejects.toThrow('ECONNREFUSED');
  });

  it('finishes what is under way', async () => {
    const { health, agent, url, stop } = await serve();
    const underWay = get(agent, `${url}/slow`);
    await pause(50);
    await stop(health, 0);
    expect((await underWay).status).toBe(200);
  });

  it.each([
    ['has sent nothing', ''],
    ['has sent half a head', 'GET /health/live HTTP/1.1\r\nHost: x\r\n'],
    ['has sent half a body', 'POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1'],
    ['reads an answer that does not end', 'GET /endless HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('ends nevertheless, within a bound, while somebody %s', async (_, text) => {
    const { health, url, stop } = await serve();
    const socket = await said(url, text);
    const closed = once(socket, 'close');
    await pause(50);
    const since = Date.now();
    await stop(health, 0);
    expect(Date.now() - since).toBeLessThan(CLOSE_MS_MAX + 2_000);
    await closed;
  });

  it('keeps no connection of somebody who was told that the request cannot be read, and does not hang up', async () => {
    const { health, url, stop, events } = await serve();
    const socket = await said(url, 'nonsense\r\n\r\n', true);
    await once(socket, 'end');
    await pause(2_500);
    await stop(health, 0);
    expect(events).not.toContain('connections-cut');
    socket.destroy();
  });
});
