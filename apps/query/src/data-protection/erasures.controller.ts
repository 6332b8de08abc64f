import { Body, Controller, Get, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { parseApprovalForm, parseErasureForm } from '#contracts/erasure-form.js';
import type { Actor } from '#domain/identity.js';
import { IdempotencyKey } from '#platform/idempotency.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { Erasures, type OpenErasures, type ShownErasure } from './erasures.js';

@Controller('v1/erasures')
export class ErasuresController {
  constructor(@Inject(Erasures) private readonly erasures: Erasures) {}

  @Post()
  @HttpCode(202)
  @AllowRoles('data-protection')
  request(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownErasure> {
    return this.erasures.request(actor, parseErasureForm(body), key);
  }

  @Get()
  @AllowRoles('data-protection')
  open(@CurrentActor() actor: Actor): Promise<OpenErasures> {
    return this.erasures.open(actor);
  }

  @Get(':erasureId')
  @AllowRoles('data-protection')
  one(@CurrentActor() actor: Actor, @Param('erasureId') id: string): Promise<ShownErasure> {
    return this.erasures.one(actor, id);
  }

  @Post(':erasureId/approval')
  @HttpCode(202)
  @AllowRoles('data-protection')
  approve(@CurrentActor() actor: Actor, @Param('erasureId') id: string, @Body() body: unknown): Promise<ShownErasure> {
    return this.erasures.approve(actor, id, parseApprovalForm(body).reason);
  }
}
