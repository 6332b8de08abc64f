import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { parseReplicaRetirementForm } from '#contracts/replica-retirement-form.js';
import type { Actor } from '#domain/identity.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { ReplicaRetirements, type RetiredReplicas } from './replica-retirements.js';

@Controller('v1/replica-retirements')
export class ReplicaRetirementsController {
  constructor(@Inject(ReplicaRetirements) private readonly retirements: ReplicaRetirements) {}

  @Post()
  @HttpCode(200)
  @AllowRoles('data-protection')
  retire(@CurrentActor() actor: Actor, @Body() body: unknown): Promise<RetiredReplicas> {
    return this.retirements.retire(actor, parseReplicaRetirementForm(body));
  }
}
