import { Body, Controller, HttpCode, Inject, Param, Patch } from '@nestjs/common';
import { parseCorrection } from '#contracts/image-fields.js';
import type { Actor } from '#domain/identity.js';
import { imageId } from '#domain/ids.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { Rectification, type CorrectionAccepted } from './rectification.js';

@Controller('v1/images')
export class ImagesController {
  constructor(@Inject(Rectification) private readonly rectification: Rectification) {}

  /** 202: in the log, and will end as an outcome on `custody.outcomes`. */
  @Patch(':imageId')
  @HttpCode(202)
  @AllowRoles('data-protection')
  correct(
    @CurrentActor() actor: Actor,
    @Param('imageId') id: string,
    @Body() body: unknown,
  ): Promise<CorrectionAccepted> {
    return this.rectification.correct(actor, imageId(id), parseCorrection(body));
  }
}
