import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { parseErasureForm } from '#contracts/erasure-form.js';
import type { Actor } from '#domain/identity.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { Erasures, type ErasureAccepted } from './erasures.js';

@Controller('v1/erasures')
export class ErasuresController {
  constructor(@Inject(Erasures) private readonly erasures: Erasures) {}

  @Post()
  @HttpCode(202)
  @AllowRoles('data-protection')
  request(@CurrentActor() actor: Actor, @Body() body: unknown): Promise<ErasureAccepted> {
    return this.erasures.request(actor, parseErasureForm(body));
  }
}
