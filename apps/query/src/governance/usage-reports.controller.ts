import { Controller, Get, Inject, Query } from '@nestjs/common';
import { parseUsageReportQuery } from '#contracts/usage-report-query.js';
import type { Actor } from '#domain/identity.js';
import type { UsageReport } from '#domain/usage-report.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { UsageReports } from './usage-reports.js';

@Controller('v1/reports')
export class UsageReportsController {
  constructor(@Inject(UsageReports) private readonly reports: UsageReports) {}

  @Get('usage')
  @AllowRoles('auditor')
  usage(@CurrentActor() actor: Actor, @Query() query: Record<string, unknown>): Promise<UsageReport> {
    return this.reports.report(actor, parseUsageReportQuery(query));
  }
}
