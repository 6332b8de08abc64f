import { Controller, Get, Module, type DynamicModule } from '@nestjs/common';
import { Agent, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Health } from './health.js';
import { createLog } from './log.js';
import { Metrics } from './metrics.js';
import { AllowAnyone } from './roles.guard.js';
import { OperationsModule, serveHttp } from './service-process.js';

@Controller()
@AllowAnyone()
class SlowController {
  @Get('slow')
  async slow(): Promise<string> {
    await pause(300);
    return 'done';
  }
}

@Module({})
class ServiceModule {
  static for(health: Health): DynamicModule {
    return {
      module: ServiceModule,
      controllers: [SlowController],
      imports: [OperationsModule.for(health, new Metrics())],
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

async function serve(): Promise<{ health: Health; agent: Agent } & Awaited<ReturnType<typeof serveHttp>>> {
  const health = new Health(['start']);
  health.fulfilled('start');
  const server = await serveHttp(ServiceModule.for(health), {
    host: '127.0.0.1',
    port: 0,
    portSetting: 'QUERY_PORT',
    log: createLog('test', 'fatal'),
  });
  return { health, agent: new Agent({ keepAlive: true }), ...server };
}

describe('a service that is asked to stop', () => {
  it('is not ready, answers whoever asks still, and tells them to use another connection', async () => {
    const { health, agent, url, stop } = await serve();
    expect(await get(agent, `${url}/health/ready`)).toEqual({ status: 200, connection: 'keep-alive' });
    const stopped = stop(health, 1);
    expect(await get(agent, `${url}/health/ready`)).toEqual({ status: 503, connection: 'close' });
    expect(await get(agent, `${url}/health/live`)).toEqual({ status: 200, connection: 'close' });
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
});
