import { Module, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import type { Health } from '#platform/health.js';
import type { TokenVerifier } from '#platform/identity.js';
import type { IndexMetrics } from '#platform/metrics.js';
import { RolesGuard } from '#platform/roles.guard.js';
import { OperationsModule } from '#platform/service-process.js';
import { GalleryReplica } from './gallery-replica.js';
import { SnapshotsController } from './snapshots.controller.js';

@Module({})
export class IndexModule {
  static for(parts: {
    readonly health: Health;
    readonly metrics: IndexMetrics;
    readonly tokens: TokenVerifier;
    readonly replica: GalleryReplica;
  }): DynamicModule {
    return {
      module: IndexModule,
      imports: [OperationsModule.for(parts.health, parts.metrics)],
      controllers: [SnapshotsController],
      providers: [
        { provide: GalleryReplica, useValue: parts.replica },
        { provide: APP_GUARD, useValue: new RolesGuard(parts.tokens, parts.health) },
      ],
    };
  }
}
