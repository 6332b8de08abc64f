import { Controller, Inject, Module, type DynamicModule } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { SEARCHES_COMMANDS, SEARCHES_REQUESTS } from '#contracts/topics.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { RecordContext } from '#kafka/nest-transport.js';
import { inSpanOfRecord } from '#platform/spans.js';
import { RetrospectiveOwner } from './retrospective-owner.js';

/** What the owner of a partition's searches is sent: requests of systems, and decisions of people. */
@Controller()
export class SearchRecordsController {
  constructor(@Inject(RetrospectiveOwner) private readonly owner: RetrospectiveOwner) {}

  @EventPattern<string>(SEARCHES_REQUESTS)
  request(@Payload() record: KafkaRecord, @Ctx() { signal }: RecordContext): Promise<void> {
    return inSpanOfRecord(record, () => this.owner.request(record, signal));
  }

  @EventPattern<string>(SEARCHES_COMMANDS)
  command(@Payload() record: KafkaRecord, @Ctx() { signal }: RecordContext): Promise<void> {
    return inSpanOfRecord(record, () => this.owner.command(record, signal));
  }
}

/** Of its own, beside the module of the HTTP service, so that it starts and ends when the owner does. */
@Module({})
export class SearchRecordsModule {
  static for(owner: RetrospectiveOwner): DynamicModule {
    return {
      module: SearchRecordsModule,
      controllers: [SearchRecordsController],
      providers: [{ provide: RetrospectiveOwner, useValue: owner }],
    };
  }
}
