import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, type Type } from '@nestjs/common';
import { parseDirectionForm, parseDirectionList, parseLiftForm } from '#contracts/direction-forms.js';
import type { Actor } from '#domain/identity.js';
import { IdempotencyKey } from '#platform/idempotency.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { CustodyDirections, type GivenKind, type LiftedDirection, type ShownDirection } from './custody-directions.js';

/** Restrictions, retirements and evidence holds are given, shown and lifted alike. */
function directionsController(path: string, kind: GivenKind): Type {
  @Controller(path)
  class DirectionsController {
    constructor(@Inject(CustodyDirections) private readonly directions: CustodyDirections) {}

    @Post()
    @HttpCode(201)
    @AllowRoles('data-protection')
    give(
      @CurrentActor() actor: Actor,
      @Body() body: unknown,
      @IdempotencyKey() key: string | undefined,
    ): Promise<ShownDirection> {
      return this.directions.give(actor, kind, parseDirectionForm(body), key);
    }

    @Get()
    @AllowRoles('data-protection')
    list(@CurrentActor() actor: Actor, @Query() query: unknown): ReturnType<CustodyDirections['list']> {
      return this.directions.list(actor, kind, parseDirectionList(query));
    }

    @Get(':directionId')
    @AllowRoles('data-protection')
    one(@CurrentActor() actor: Actor, @Param('directionId') id: string): Promise<ShownDirection> {
      return this.directions.one(actor, kind, id);
    }

    /** Why, in the body or, for clients that send none with a DELETE, in the query. */
    @Delete(':directionId')
    @AllowRoles('data-protection')
    lift(
      @CurrentActor() actor: Actor,
      @Param('directionId') id: string,
      @Body() body: unknown,
      @Query() query: unknown,
    ): Promise<LiftedDirection> {
      return this.directions.lift(actor, kind, id, parseLiftForm({ ...(query as object), ...(body as object) }));
    }
  }
  return DirectionsController;
}

export const RestrictionsController = directionsController('v1/restrictions', 'restriction');
export const RetirementsController = directionsController('v1/retirements', 'retirement');
export const EvidenceHoldsController = directionsController('v1/evidence-holds', 'evidence-hold');
