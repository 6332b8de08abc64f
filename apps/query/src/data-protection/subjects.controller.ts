import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { parseSearchableQuery } from '#contracts/subject-forms.js';
import type { AccessReport } from '#domain/access-report.js';
import type { Actor } from '#domain/identity.js';
import { subjectId } from '#domain/ids.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { accessReportHtml } from './access-report-html.js';
import { AccessReports } from './access-reports.js';
import { SearchableImages, type SubjectSearchability } from './searchable-images.js';

@Controller('v1/subjects')
export class SubjectsController {
  constructor(
    @Inject(AccessReports) private readonly reports: AccessReports,
    @Inject(SearchableImages) private readonly searchableImages: SearchableImages,
  ) {}

  /** JSON, or a page to be read and printed for who accepts HTML first. */
  @Get(':subjectId/access-report')
  @AllowRoles('data-protection')
  async accessReport(
    @CurrentActor() actor: Actor,
    @Param('subjectId') id: string,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<AccessReport | string> {
    const report = await this.reports.of(actor, subjectId(id));
    response.set('Cache-Control', 'no-store').vary('Accept');
    if (request.accepts(['json', 'html']) !== 'html') return report;
    response.set('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'").type('html');
    return accessReportHtml(report);
  }

  @Get(':subjectId/searchable')
  @AllowRoles('data-protection', 'auditor')
  searchable(
    @CurrentActor() actor: Actor,
    @Param('subjectId') id: string,
    @Query() query: unknown,
  ): Promise<SubjectSearchability> {
    return this.searchableImages.of(actor, subjectId(id), parseSearchableQuery(query));
  }
}
