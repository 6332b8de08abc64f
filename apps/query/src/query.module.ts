import { Module, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import type { Health } from '#platform/health.js';
import type { TokenVerifier } from '#platform/identity.js';
import type { QueryMetrics } from '#platform/metrics.js';
import { RolesGuard } from '#platform/roles.guard.js';
import { OperationsModule } from '#platform/service-process.js';
import { Erasures } from './erasures.js';
import { ErasuresController } from './erasures.controller.js';
import { Galleries } from './galleries.js';
import { GalleriesController } from './galleries.controller.js';
import { OperatorSearch } from './operator-search.js';
import { RetrospectiveSubmission } from './retrospective-submission.js';
import { SearchReading } from './search-reading.js';
import { SearchesController } from './searches.controller.js';

@Module({})
export class QueryModule {
  static for(parts: {
    readonly health: Health;
    readonly metrics: QueryMetrics;
    readonly tokens: TokenVerifier;
    readonly operatorSearch: OperatorSearch;
    readonly retrospective: RetrospectiveSubmission;
    readonly reading: SearchReading;
    readonly erasures: Erasures;
    readonly galleries: Galleries;
  }): DynamicModule {
    return {
      module: QueryModule,
      imports: [OperationsModule.for(parts.health, parts.metrics)],
      controllers: [SearchesController, ErasuresController, GalleriesController],
      providers: [
        { provide: OperatorSearch, useValue: parts.operatorSearch },
        { provide: RetrospectiveSubmission, useValue: parts.retrospective },
        { provide: SearchReading, useValue: parts.reading },
        { provide: Erasures, useValue: parts.erasures },
        { provide: Galleries, useValue: parts.galleries },
        { provide: APP_GUARD, useValue: new RolesGuard(parts.tokens, parts.health) },
      ],
    };
  }
}
