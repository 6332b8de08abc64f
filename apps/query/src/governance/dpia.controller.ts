import { Controller, Get, Inject, Query } from '@nestjs/common';
import type { DpiaEvidence } from '#contracts/dpia-evidence.js';
import { parseUsageReportQuery } from '#contracts/usage-report-query.js';
import type { Actor } from '#domain/identity.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { DpiaEvidences } from './dpia-evidences.js';

@Controller('v1/reports')
export class DpiaController {
  constructor(@Inject(DpiaEvidences) private readonly evidences: DpiaEvidences) {}

  /** The query narrows the counts of use alone. */
  @Get('dpia')
  @AllowRoles('data-protection', 'auditor')
  dpia(@CurrentActor() actor: Actor, @Query() query: Record<string, unknown>): Promise<DpiaEvidence> {
    return this.evidences.gather(actor, parseUsageReportQuery(query));
  }
}
