import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { parseOverrideForm, parseReasonForm } from '#contracts/governance-forms.js';
import type { ModelOverride } from '#domain/governance.js';
import { ROLES, type Actor } from '#domain/identity.js';
import { IdempotencyKey } from '#platform/idempotency.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { GovernanceDecisions } from './governance-decisions.js';

@Controller('v1/model-overrides')
export class ModelOverridesController {
  constructor(@Inject(GovernanceDecisions) private readonly decisions: GovernanceDecisions) {}

  @Get()
  @AllowRoles(...ROLES)
  list(): { readonly overrides: readonly ModelOverride[] } {
    return { overrides: this.decisions.overrides() };
  }

  @Post()
  @HttpCode(201)
  @AllowRoles('threshold-approver')
  propose(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ModelOverride> {
    return this.decisions.proposeOverride(actor, parseOverrideForm(body), key);
  }

  @Post(':overrideId/approval')
  @HttpCode(200)
  @AllowRoles('threshold-approver')
  approve(
    @CurrentActor() actor: Actor,
    @Param('overrideId') id: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ModelOverride> {
    return this.decisions.approveOverride(actor, id, parseReasonForm(body).reason, key);
  }

  /** The reason may be in the body or in the query: not every proxy hands on the body of a DELETE. */
  @Delete(':overrideId')
  @AllowRoles('threshold-approver')
  end(
    @CurrentActor() actor: Actor,
    @Param('overrideId') id: string,
    @Query() query: Record<string, unknown>,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ModelOverride> {
    return this.decisions.endOverride(
      actor,
      id,
      parseReasonForm({ ...query, ...(body as object | undefined) }).reason,
      key,
    );
  }
}
