import { Module, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import type { Health } from '#platform/health.js';
import type { TokenVerifier } from '#platform/identity.js';
import type { IngestMetrics } from '#platform/metrics.js';
import { RolesGuard } from '#platform/roles.guard.js';
import { OperationsModule } from '#platform/service-process.js';
import { ImageSubmission } from './image-submission.js';
import { ImagesController } from './images.controller.js';
import { UploadLimit } from './upload-limit.js';

@Module({})
export class IngestModule {
  static for(parts: {
    readonly health: Health;
    readonly metrics: IngestMetrics;
    readonly tokens: Pick<TokenVerifier, 'verify'>;
    readonly submission: Pick<ImageSubmission, 'submit'>;
    readonly uploads: UploadLimit;
  }): DynamicModule {
    return {
      module: IngestModule,
      imports: [OperationsModule.for(parts.health, parts.metrics)],
      controllers: [ImagesController],
      providers: [
        { provide: ImageSubmission, useValue: parts.submission },
        { provide: UploadLimit, useValue: parts.uploads },
        { provide: APP_GUARD, useValue: new RolesGuard(parts.tokens, parts.health) },
      ],
    };
  }
}
