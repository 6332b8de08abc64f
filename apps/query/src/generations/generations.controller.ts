import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import {
  parseGalleryRetirementForm,
  parseGallerySwitchForm,
  parseLackingPage,
  parseReasonForm,
} from '#contracts/governance-forms.js';
import type { Actor } from '#domain/identity.js';
import { modelId } from '#domain/ids.js';
import { IdempotencyKey } from '#platform/idempotency.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { GalleryRetirements, type GalleryRetirement, type GalleryRetirementState } from './gallery-retirements.js';
import { GallerySwitches, type ShownGallerySwitch } from './gallery-switches.js';
import { LackingImages, type LackingPage } from './lacking-images.js';

@Controller('v1')
export class GenerationsController {
  constructor(
    @Inject(GallerySwitches) private readonly switches: GallerySwitches,
    @Inject(GalleryRetirements) private readonly retirements: GalleryRetirements,
    @Inject(LackingImages) private readonly lacking: LackingImages,
  ) {}

  @Get('galleries/:modelId/lacking')
  @AllowRoles('threshold-approver', 'data-protection', 'auditor')
  list(
    @CurrentActor() actor: Actor,
    @Param('modelId') model: string,
    @Query() query: Record<string, unknown>,
  ): Promise<LackingPage> {
    return this.lacking.list(actor, modelId(model), parseLackingPage(query));
  }

  @Post('gallery-switches')
  @HttpCode(201)
  @AllowRoles('threshold-approver')
  switch(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownGallerySwitch> {
    return this.switches.switch(actor, parseGallerySwitchForm(body), key);
  }

  @Post('gallery-retirements')
  @HttpCode(201)
  @AllowRoles('threshold-approver')
  retire(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<GalleryRetirement> {
    return this.retirements.retire(actor, parseGalleryRetirementForm(body), key);
  }

  @Get('gallery-retirements/:modelId')
  @AllowRoles('threshold-approver', 'data-protection', 'auditor')
  retirement(@Param('modelId') model: string): Promise<GalleryRetirementState> {
    return this.retirements.state(modelId(model));
  }

  @Post('gallery-retirements/:modelId/destruction')
  @HttpCode(200)
  @AllowRoles('data-protection')
  destroy(
    @CurrentActor() actor: Actor,
    @Param('modelId') model: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<GalleryRetirement> {
    return this.retirements.destroy(actor, modelId(model), parseReasonForm(body).reason, key);
  }
}
