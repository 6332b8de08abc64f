import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { Response } from 'express';
import { Health } from './health.js';
import { Metrics } from './metrics.js';
import { AllowAnyone } from './roles.guard.js';

/** What probes and scrapers ask; the same on every service, without a token. */
@Controller()
@AllowAnyone()
export class OperationsController {
  constructor(
    @Inject(Health) private readonly health: Health,
    @Inject(Metrics) private readonly metrics: Metrics,
  ) {}

  @Get('health/startup')
  startup(@Res() response: Response): void {
    answer(response, this.health.startup);
  }

  @Get('health/ready')
  ready(@Res() response: Response): void {
    answer(response, this.health.ready, this.health.alarms);
  }

  @Get('health/live')
  live(@Res() response: Response): void {
    answer(response, { ok: true, waitingFor: {} });
  }

  @Get('metrics')
  async scrape(@Res() response: Response): Promise<void> {
    response.type(this.metrics.registry.contentType).send(await this.metrics.registry.metrics());
  }
}

function answer(
  response: Response,
  { ok, waitingFor }: { ok: boolean; waitingFor: Record<string, string> },
  alarms: Record<string, string> = {},
): void {
  const raised = Object.keys(alarms).length > 0;
  response.status(ok ? 200 : 503).json({ status: ok ? 'ok' : 'waiting', waitingFor, ...(raised && { alarms }) });
}
