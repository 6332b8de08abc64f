import { Controller, Get, Inject, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { Registry } from 'prom-client';
import { Health } from './health.js';
import { Metrics } from './metrics.js';
import { openMetricsText, wantsOpenMetrics } from './open-metrics.js';
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

  /** In plain text, unless OpenMetrics is asked for, as Prometheus does: then with exemplars, where there are traces. */
  @Get('metrics')
  async scrape(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { registry } = this.metrics;
    response.vary('Accept');
    if (wantsOpenMetrics(request.headers.accept)) {
      response.type(Registry.OPENMETRICS_CONTENT_TYPE).send(await openMetricsText(registry));
    } else {
      response.type(registry.contentType).send(await registry.metrics());
    }
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
