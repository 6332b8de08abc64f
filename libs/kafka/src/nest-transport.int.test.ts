import 'reflect-metadata';
import { Controller, Inject, Module, type INestMicroservice } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { of, throwError } from 'rxjs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { deadLetters } from '#contracts/topics.js';
import { Failure, Refusal } from '#domain/errors.js';
import { clientForTests, createTopic, eventually, silentLog, uniqueTopic } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import type { KafkaClient } from './kafka-client.js';
import type { KafkaRecord } from './kafka-record.js';
import { NestTransport, serveRecords, type RecordContext } from './nest-transport.js';

let client: KafkaClient;
const serving: INestMicroservice[] = [];
beforeAll(() => {
  client = clientForTests();
});
afterEach(() => Promise.all(serving.splice(0).map((service) => service.close())));
afterAll(() => client.close());

type Handle = (record: KafkaRecord, context: RecordContext) => unknown;
const HANDLE = Symbol('handle');

/** A service whose only handler, of the topic, is this function. */
async function serve(topic: string, handle: Handle, groupId = uniqueTopic('group')) {
  @Controller()
  class Records {
    constructor(@Inject(HANDLE) private readonly handle: Handle) {}

    @EventPattern<string>(topic)
    take(@Payload() record: KafkaRecord, @Ctx() context: RecordContext): unknown {
      return this.handle(record, context);
    }
  }
  @Module({ controllers: [Records], providers: [{ provide: HANDLE, useValue: handle }] })
  class Service {}

  const fatal: unknown[] = [];
  const transport = new NestTransport(client, client.publisher(), silentLog, {
    groupId,
    source: '/test',
    sessionTimeoutMs: 2_000,
    onFatal: (error) => void fatal.push(error),
  });
  const service = await serveRecords({ module: Service }, transport, silentNest);
  serving.push(service);
  return { service, transport, fatal };
}

const silentNest = { log() {}, error() {}, warn() {} };

/** A topic, and the one for what is put aside. */
async function topicWithDeadLetters(): Promise<string> {
  const topic = await createTopic(client, 'handled');
  await client.topicAdmin().applyTopics([{ name: deadLetters(topic), partitions: 1, replication: 1, config: {} }]);
  return topic;
}

async function publish(topic: string, values: readonly (string | Buffer | null)[]): Promise<void> {
  await client.publisher().publishAll(values.map((value) => ({ topic, key: 'k', value, headers: { ce_id: 'ä' } })));
}

async function putAside(topic: string): Promise<unknown[]> {
  const letters = await readTopic(client, deadLetters(topic));
  return letters.map(({ value }) => JSON.parse(String(value)) as unknown);
}

describe('a Nest handler of a topic', () => {
  it('is given each record as it was written, bytes and tombstones too, one after the other', async () => {
    const topic = await createTopic(client, 'as-written');
    const bytes = Buffer.from([0, 255, 128, 7]);
    const given: KafkaRecord[] = [];
    let running = 0;
    let atOnce = 0;
    await serve(topic, async (record) => {
      atOnce = Math.max(atOnce, ++running);
      await new Promise((resolve) => setTimeout(resolve, 20));
      running--;
      given.push(record);
    });
    await publish(topic, [bytes, '{"a":1}', null]);
    await eventually(() => expect(given).toHaveLength(3));
    expect(given.map(({ value }) => value)).toEqual([bytes, Buffer.from('{"a":1}'), null]);
    expect(given[0]).toMatchObject({ topic, partition: 0, offset: 0, headers: { ce_id: 'ä' } });
    expect(atOnce).toBe(1);
  });

  it('is asked again while what it needs is away, and nothing overtakes the record', async () => {
    const topic = await topicWithDeadLetters();
    const attempts: [string, number][] = [];
    await serve(topic, async ({ value }, { attempt }) => {
      attempts.push([String(value), attempt]);
      if (String(value) === 'a' && attempt < 3) throw new Failure('KAFKA_UNAVAILABLE', 'Away.', true);
    });
    await publish(topic, ['a', 'b']);
    await eventually(() => expect(attempts.at(-1)).toEqual(['b', 1]));
    expect(attempts).toEqual([
      ['a', 1],
      ['a', 2],
      ['a', 3],
      ['b', 1],
    ]);
    expect(await putAside(topic)).toEqual([]);
  });

  it.each([
    ['a refusal', () => new Refusal('RECORD_SCHEMA', 'It does not fit.'), 'RECORD_SCHEMA', 'It does not fit.'],
    ['a failure that stays', () => new Failure('KAFKA_REJECTED', 'Never.', false), 'KAFKA_REJECTED', 'Never.'],
    ['a bug', () => new TypeError('secret'), 'INTERNAL', 'The record could not be processed here.'],
  ])(
    'has a record put aside by %s, with its code and without its value, and goes on',
    async (_, error, code, detail) => {
      const topic = await topicWithDeadLetters();
      const handled: string[] = [];
      const { fatal } = await serve(topic, async ({ value }) => {
        if (String(value) === 'poison') throw error();
        handled.push(String(value));
      });
      await publish(topic, ['before', 'poison', 'after']);
      await eventually(() => expect(handled).toEqual(['before', 'after']));
      expect(await putAside(topic)).toEqual([
        { topic, partition: 0, offset: 1, key: 'k', code, detail, attempts: 1, at: expect.any(String) },
      ]);
      expect(fatal).toEqual([]);
    },
  );

  it('keeps a poisonous record until its dead letter is written', async () => {
    // Without a topic for it.
    const topic = await createTopic(client, 'no-letters');
    const handled: string[] = [];
    await serve(topic, async ({ value }) => {
      if (String(value) === 'poison') throw new Refusal('RECORD_SCHEMA', 'It does not fit.');
      handled.push(String(value));
    });
    await publish(topic, ['poison', 'after']);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(handled).toEqual([]);
    const wanted = { name: deadLetters(topic), partitions: 1, replication: 1, config: {} };
    await client.topicAdmin().applyTopics([wanted]);
    await eventually(() => expect(handled).toEqual(['after']));
    expect(await putAside(topic)).toHaveLength(1);
  });

  it('may answer with an observable, whose error counts as its own', async () => {
    const topic = await createTopic(client, 'observable');
    const handled: string[] = [];
    await serve(topic, ({ value }, { attempt }) => {
      handled.push(`${String(value)}${attempt}`);
      const away = new Failure('KAFKA_UNAVAILABLE', 'Away.', true);
      return attempt === 1 ? throwError(() => away) : of(1, 2);
    });
    await publish(topic, ['a', 'b']);
    await eventually(() => expect(handled).toEqual(['a1', 'a2', 'b1', 'b2']));
  });

  it('has done its work when the service has closed, and its successor gets the rest', async () => {
    const topic = await createTopic(client, 'closing');
    const groupId = uniqueTopic('group');
    const handled: string[] = [];
    const first = await serve(
      topic,
      async ({ value }) => {
        await new Promise((resolve) => setTimeout(resolve, 300));
        handled.push(`first ${String(value)}`);
      },
      groupId,
    );
    await publish(topic, ['a', 'b', 'c']);
    await eventually(() => expect(handled).toHaveLength(1));
    await first.service.close();
    const atClose = [...handled];
    expect(atClose.length).toBeLessThan(3);
    const statuses: string[] = [];
    first.transport.status.subscribe((status) => statuses.push(status));
    expect(statuses).toEqual(['revoked']);
    await serve(topic, ({ value }) => void handled.push(`second ${String(value)}`), groupId);
    await eventually(() => expect(handled).toContain('second c'));
    expect(handled.slice(0, atClose.length)).toEqual(atClose);
    expect(first.transport.lagRecords().size).toBe(1);
  });

  it('must be there for some topic', async () => {
    @Module({})
    class Nothing {}
    const transport = new NestTransport(client, client.publisher(), silentLog, {
      groupId: uniqueTopic('group'),
      source: '/test',
      onFatal: () => {},
    });
    await expect(serveRecords({ module: Nothing }, transport, silentNest)).rejects.toThrow('no controller');
  });
});
