import { Body, Controller, Headers, HttpCode, Inject, Param, Put, Query, UseInterceptors } from '@nestjs/common';
import type { Actor } from '#domain/identity.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { ImageSubmission, type Accepted } from './image-submission.js';
import { UploadInterceptor } from './upload.interceptor.js';

@Controller('v1/images')
export class ImagesController {
  constructor(@Inject(ImageSubmission) private readonly submission: ImageSubmission) {}

  /** 202: in the log, and will end as an outcome on `custody.outcomes`. */
  @Put(':imageId')
  @HttpCode(202)
  @AllowRoles('service')
  @UseInterceptors(UploadInterceptor)
  put(
    @CurrentActor() actor: Actor,
    @Param('imageId') id: string,
    @Body() body: unknown,
    @Headers('content-type') contentType: string | undefined,
    @Query() fields: Record<string, unknown>,
  ): Promise<Accepted> {
    return this.submission.submit(actor, id, body, contentType ?? 'application/octet-stream', fields);
  }
}
