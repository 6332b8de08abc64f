import { Body, Controller, Get, HttpCode, Inject, Param, Post, Res } from '@nestjs/common';
import type { Response } from 'express';
import { parseReasonForm, parseThresholdsForm, parseThresholdVersion } from '#contracts/governance-forms.js';
import type { ThresholdVersion } from '#domain/governance.js';
import { ROLES, type Actor } from '#domain/identity.js';
import { IdempotencyKey } from '#platform/idempotency.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { GovernanceDecisions, type ShownThresholds } from './governance-decisions.js';

@Controller('v1/thresholds')
export class ThresholdsController {
  constructor(@Inject(GovernanceDecisions) private readonly decisions: GovernanceDecisions) {}

  @Get()
  @AllowRoles(...ROLES)
  list(): ShownThresholds {
    return this.decisions.thresholds();
  }

  @Post()
  @HttpCode(201)
  @AllowRoles('threshold-approver')
  async propose(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ThresholdVersion> {
    const proposed = await this.decisions.proposeThresholds(actor, parseThresholdsForm(body), key);
    response.location(`/v1/thresholds/${proposed.version}/approval`);
    return proposed;
  }

  @Post(':version/approval')
  @HttpCode(200)
  @AllowRoles('threshold-approver')
  approve(
    @CurrentActor() actor: Actor,
    @Param('version') version: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ThresholdVersion> {
    return this.decisions.approveThresholds(actor, parseThresholdVersion(version), parseReasonForm(body).reason, key);
  }
}
