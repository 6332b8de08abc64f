import { Body, Controller, Delete, Get, Inject, Param, Put, Query } from '@nestjs/common';
import { parseAuthorisedForm, parseSearchKind } from '#contracts/governance-forms.js';
import { ROLES, type Actor } from '#domain/identity.js';
import { IdempotencyKey } from '#platform/idempotency.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { GovernanceDecisions, SUSPENDERS, type ShownSuspension } from './governance-decisions.js';

@Controller('v1/suspensions')
export class SuspensionsController {
  constructor(@Inject(GovernanceDecisions) private readonly decisions: GovernanceDecisions) {}

  @Get()
  @AllowRoles(...ROLES)
  list(): { readonly suspensions: readonly ShownSuspension[] } {
    return { suspensions: this.decisions.suspensions() };
  }

  @Put(':kind')
  @AllowRoles(...SUSPENDERS)
  suspend(
    @CurrentActor() actor: Actor,
    @Param('kind') kind: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSuspension> {
    return this.decisions.suspend(actor, parseSearchKind(kind), parseAuthorisedForm(body), key);
  }

  /** The words may be in the body or in the query: not every proxy hands on the body of a DELETE. */
  @Delete(':kind')
  @AllowRoles(...SUSPENDERS)
  lift(
    @CurrentActor() actor: Actor,
    @Param('kind') kind: string,
    @Query() query: Record<string, unknown>,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSuspension> {
    const words = parseAuthorisedForm({ ...query, ...(body as object | undefined) });
    return this.decisions.lift(actor, parseSearchKind(kind), words, key);
  }
}
