/**
 * The query service's way of an operator search with nobody asked who they are or why, nothing audited and nothing put
 * on record: what the rules cost is measured against it. It shares the pipeline, the gallery and the upload with the
 * product on purpose, so that only the rules differ. Started by the bench, as a process like the service's own.
 */
import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { Controller, HttpCode, Inject, Module, Post, UploadedFile, UseInterceptors } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FileInterceptor, type NestExpressApplication } from '@nestjs/platform-express';
import type { AddressInfo } from 'node:net';
import { GalleryClient } from '../../../apps/query/src/searches/gallery-client.js';
import { ProbeSearch } from '../../../apps/query/src/searches/probe-search.js';
import { readThresholds } from '../../../apps/query/src/governance/thresholds.js';
import type { SearchId } from '#domain/ids.js';
import { OPERATOR_LIMIT_DEFAULT } from '#domain/operator-search.js';
import { shownAnswer, type SearchKind, type ShownAnswer } from '#domain/search-answer.js';
import { thresholdFor } from '#domain/threshold.js';
import { FacePool } from '#face/face-pool.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { createLog } from '#platform/log.js';
import { QueryMetrics } from '#platform/metrics.js';
import { readSettings } from '#platform/settings.js';

class UngovernedSearch {
  constructor(
    private readonly faces: FacePool,
    private readonly search: ProbeSearch,
    private readonly withinMs: number,
  ) {}

  async run(image: Buffer): Promise<ShownAnswer> {
    const probe = await this.faces.process(image, 'central');
    return shownAnswer(
      await this.search.run({
        searchId: randomUUID() as SearchId,
        kind: 'operator',
        probe,
        limit: OPERATOR_LIMIT_DEFAULT,
        mode: 'auto',
        filter: undefined,
        withinMs: this.withinMs,
      }),
      () => false,
    );
  }
}

@Controller('search')
class UngovernedController {
  constructor(@Inject(UngovernedSearch) private readonly search: UngovernedSearch) {}

  @Post()
  @HttpCode(200)
  @UseInterceptors(FileInterceptor('image'))
  run(@UploadedFile() file: Express.Multer.File): Promise<ShownAnswer> {
    return this.search.run(file.buffer);
  }
}

@Module({})
class UngovernedModule {}

async function main(): Promise<void> {
  const settings = readSettings();
  const log = createLog('ungoverned', 'error');
  const fatal = (error: unknown): void => {
    throw error;
  };
  const faces = await FacePool.open({
    packFolder: settings.MODEL_PACK_DIR,
    processes: settings.INFERENCE_CONCURRENCY,
  });
  const kafka = new KafkaClient({ brokers: settings.KAFKA_BROKERS, clientId: 'bench-ungoverned', log });
  const gallery = new GalleryClient(
    kafka,
    kafka.publisher(),
    faces.modelId,
    settings.REPLICA_ID,
    () => undefined,
    log,
    fatal,
  );
  await gallery.start();
  const { thresholds } = await readThresholds(settings.THRESHOLDS_FILE);
  const permits = {
    check: () => undefined,
    threshold: (kind: SearchKind, enrolled: number) => thresholdFor(thresholds, faces.modelId, kind, enrolled),
  };
  const search = new UngovernedSearch(
    faces,
    new ProbeSearch(faces, gallery, permits, new QueryMetrics()),
    settings.OPERATOR_SEARCH_DEADLINE_MS,
  );
  const app = await NestFactory.create<NestExpressApplication>(
    {
      module: UngovernedModule,
      controllers: [UngovernedController],
      providers: [{ provide: UngovernedSearch, useValue: search }],
    },
    { logger: false },
  );
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  process.send?.(port);
  // The bench is over, or gone.
  process.once('disconnect', () => process.exit(0));
}

await main();
