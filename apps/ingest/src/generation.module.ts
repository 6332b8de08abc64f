import { Module, type DynamicModule } from '@nestjs/common';
import type { Health } from '#platform/health.js';
import type { IngestMetrics } from '#platform/metrics.js';
import { OperationsModule } from '#platform/service-process.js';

/** Health and metrics, and nothing else: whoever builds a gallery is asked for nothing. */
@Module({})
export class GenerationModule {
  static for(health: Health, metrics: IngestMetrics): DynamicModule {
    return { module: GenerationModule, imports: [OperationsModule.for(health, metrics)] };
  }
}
