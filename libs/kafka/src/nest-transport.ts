/**
 * Nest's microservice transport over the port: a handler for each topic, `@EventPattern(topic)` of a controller, behind a
 * {@link GroupConsumer}. What Nest's own Kafka transport does to values, to groups and to errors it does not do.
 *
 * - The payload is the record as it was read: bytes stay bytes, and a null a null. The context has the signal of the
 *   assignment ({@link RecordContext}).
 * - Records of a partition are handled one after the other; while a handler works, nothing more of it is fetched.
 * - What can pass (a retryable Failure) is tried again, with backoff, until it does or the partition is another member's;
 *   a record is never dropped because something was away.
 * - Whatever else a handler throws, no repetition mends: a reference goes to the topic's dead letters, and the next record
 *   has its turn.
 * - The offset is stored after the effect, so a record is handled at least once.
 *
 * For topics whose records are single events with an effect each. What is replayed into memory, searched or enrolled by
 * the thousand goes through the port itself.
 */
import { Catch, type DynamicModule, type INestMicroservice, type LoggerService } from '@nestjs/common';
import type { RpcExceptionFilter } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { BaseRpcContext, Server, type CustomTransportStrategy } from '@nestjs/microservices';
import { lastValueFrom, throwError, type Observable } from 'rxjs';
import { CodedError, describeError, Failure } from '#domain/errors.js';
import { backoffMs, pause } from './backoff.js';
import { deadLetterFor } from './dead-letters.js';
import type { GroupBatch, GroupConsumer, GroupConsumerOptions } from './group-consumer.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaLog, KafkaRecord } from './kafka-record.js';
import type { Publisher } from './publisher.js';

/** What a handler gets as `@Ctx()`. */
export class RecordContext extends BaseRpcContext<[AbortSignal, number]> {
  /** Aborted when the partition is no longer this member's; what is done afterwards is not stored. */
  get signal(): AbortSignal {
    return this.getArgs()[0];
  }

  /** Of the same record by this member, from 1. */
  get attempt(): number {
    return this.getArgs()[1];
  }
}

export interface NestTransportOptions extends Omit<GroupConsumerOptions, 'topics' | 'onBatch'> {
  /** Which service it is that puts a record aside. */
  readonly source: string;
}

type Status = 'assigned' | 'revoked';

export class NestTransport extends Server<Record<string, never>, Status> implements CustomTransportStrategy {
  // Otherwise Nest logs what a handler throws as unhandled, and the transport never sees it.
  override readonly propagatesEventHandlerErrors = true;
  private consumer: GroupConsumer | undefined;

  constructor(
    private readonly kafka: KafkaClient,
    private readonly publisher: Publisher,
    private readonly log: KafkaLog,
    private readonly options: NestTransportOptions,
  ) {
    super();
  }

  /** Begins to consume the topics that have a handler; Kafka is waited for as long as it takes. Called by Nest. */
  override listen(listening: (error?: Error) => void): void {
    const topics = [...this.messageHandlers.keys()];
    if (topics.length === 0) {
      listening(new Error('no controller of the module has a handler for a topic'));
      return;
    }
    const { onAssigned, onRevoked } = this.options;
    this.consumer = this.kafka.groupConsumer({
      ...this.options,
      topics,
      onAssigned: async (assignment, generation, signal) => {
        await onAssigned?.(assignment, generation, signal);
        this._status$.next('assigned');
      },
      onRevoked: (assignment, generation) => {
        this._status$.next('revoked');
        onRevoked?.(assignment, generation);
      },
      onBatch: (batch) => this.handleBatch(batch),
    });
    this.consumer.start();
    listening();
  }

  /** Resolves when the handlers that were running have ended, and what they did is stored. Called by Nest. */
  override async close(): Promise<void> {
    await this.consumer?.close();
    this._status$.complete();
  }

  /** By `topic/partition`, as {@link GroupConsumer.lagRecords}. */
  lagRecords(): Map<string, number> {
    return this.consumer?.lagRecords() ?? new Map<string, number>();
  }

  /** There is nothing to listen to beside `status`. */
  override on(): void {
    throw new Error('the transport has no events of its own');
  }

  override unwrap<T>(): T {
    return this.consumer as T;
  }

  private async handleBatch({ records, signal }: GroupBatch): Promise<void> {
    for (const record of records) await this.handleToItsEnd(record, signal);
  }

  private async handleToItsEnd(record: KafkaRecord, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        await this.handle(record, new RecordContext([signal, attempt]));
        return;
      } catch (error) {
        this.noteFailed(record, error, attempt);
        const canPass = error instanceof Failure && error.retryable;
        if (!canPass && (await this.putAside(record, error, attempt))) return;
        await pause(backoffMs(attempt), signal);
      }
    }
  }

  /** @throws what the handler throws */
  private async handle(record: KafkaRecord, context: RecordContext): Promise<void> {
    const handler = this.messageHandlers.get(record.topic)!;
    const result = this.transformToObservable(await handler(record, context)) as Observable<unknown>;
    await lastValueFrom(result, { defaultValue: undefined });
  }

  private noteFailed({ topic, partition, offset }: KafkaRecord, error: unknown, attempt: number): void {
    const fields = { topic, partition, offset, attempt, error: describeError(error) };
    // The first, then about every quarter of a minute: an outage must be seen, and must not fill the log.
    if (attempt === 1 || attempt % 8 === 0) this.log.warn('record-not-handled', fields);
    else this.log.debug('record-not-handled', fields);
  }

  /** @returns whether it could be: Kafka being away now passes too */
  private async putAside(record: KafkaRecord, error: unknown, attempts: number): Promise<boolean> {
    const known = error instanceof CodedError;
    const code = known ? error.code : 'INTERNAL';
    const detail = known ? error.publicText : 'The record could not be processed here.';
    try {
      await this.publisher.publish(deadLetterFor(record, { code, detail, attempts }, this.options.source));
      return true;
    } catch (again) {
      this.log.warn('giving-up-failed', { topic: record.topic, error: describeError(again) });
      return false;
    }
  }
}

/** Nest would make every error that is not its own into the same text; the transport must see which one it was. */
@Catch()
class ErrorsAsThrown implements RpcExceptionFilter {
  catch(error: unknown): Observable<never> {
    return throwError(() => error);
  }
}

/**
 * Serves the handlers of a module's controllers, beside whatever else the process serves.
 *
 * @returns what `close` ends, after the handlers that were running
 */
export async function serveRecords(
  module: DynamicModule,
  transport: NestTransport,
  logger: LoggerService,
): Promise<INestMicroservice> {
  const service = await NestFactory.createMicroservice(module, { strategy: transport, logger, abortOnError: false });
  service.useGlobalFilters(new ErrorsAsThrown());
  await service.listen();
  return service;
}
