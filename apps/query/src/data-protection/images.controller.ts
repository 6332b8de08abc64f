import { Body, Controller, Get, HttpCode, Inject, Param, Patch, Res } from '@nestjs/common';
import type { Response } from 'express';
import { parseCorrection } from '#contracts/image-fields.js';
import type { Actor } from '#domain/identity.js';
import { imageId } from '#domain/ids.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { sendLines } from '../line-sink.js';
import { ImageExport } from './image-export.js';
import { Rectification, type CorrectionAccepted } from './rectification.js';

@Controller('v1')
export class ImagesController {
  constructor(
    @Inject(Rectification) private readonly rectification: Rectification,
    @Inject(ImageExport) private readonly images: ImageExport,
  ) {}

  /** JSON lines; see `contracts/image-export`. */
  @Get('exports/images')
  @AllowRoles('data-protection')
  async export(@CurrentActor() actor: Actor, @Res() response: Response): Promise<void> {
    await this.images.begin(actor);
    response.status(200).type('application/x-ndjson').setHeader('Cache-Control', 'no-store');
    try {
      await this.images.write((lines) => sendLines(response, lines));
      response.end();
    } catch (error) {
      if (!response.headersSent) throw error;
      // What was sent lacks its last line, by which whoever reads it knows.
      response.destroy();
    }
  }

  /** 202: in the log, and will end as an outcome on `custody.outcomes`. */
  @Patch('images/:imageId')
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
