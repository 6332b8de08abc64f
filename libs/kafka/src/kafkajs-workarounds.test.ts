import { createRequire } from 'node:module';
import kafkajs from 'kafkajs';
import { describe, expect, it, vi } from 'vitest';
import {
  applyKafkajsWorkarounds,
  isPassingRefusal,
  isWithoutBroker,
  partialProduceResponse,
  protocolError,
} from './kafkajs-workarounds.js';

const require = createRequire(import.meta.url);

describe('kafkajs workarounds', () => {
  it('are for the version that is installed', () => {
    expect((require('kafkajs/package.json') as { version: string }).version).toBe('2.2.4');
  });

  it('set no timer while no request waits, and one while some do', () => {
    applyKafkajsWorkarounds();
    vi.useFakeTimers();
    try {
      const RequestQueue = require('kafkajs/src/network/requestQueue/index.js') as {
        new (options: object): {
          pending: unknown[];
          scheduleCheckPendingRequests(): void;
          checkPendingRequests(): void;
          destroy(): void;
        };
      };
      const logger = { debug() {} };
      const queue = new RequestQueue({ maxInFlightRequests: 1, requestTimeout: 1000, logger });
      queue.checkPendingRequests();
      expect(vi.getTimerCount()).toBe(0);
      queue.pending.push({});
      queue.scheduleCheckPendingRequests();
      expect(vi.getTimerCount()).toBe(1);
      queue.destroy();
    } finally {
      vi.useRealTimers();
    }
  });

  it('keep the answer of a produce request that failed in one partition', async () => {
    applyKafkajsWorkarounds();
    const { parse } = require('kafkajs/src/protocol/requests/produce/v7/response.js') as {
      parse(data: unknown): Promise<unknown>;
    };
    const data = {
      topics: [
        {
          topicName: 't',
          partitions: [
            { partition: 0, errorCode: 0 },
            { partition: 1, errorCode: 10 },
          ],
        },
      ],
    };
    const error: unknown = await parse(data).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ type: 'MESSAGE_TOO_LARGE' });
    expect(partialProduceResponse(error)).toBe(data);
    expect(partialProduceResponse(new Error('no answer'))).toBeUndefined();
  });

  it('name the errors of a broker, and which of them may pass', () => {
    expect(protocolError(10)).toEqual({ type: 'MESSAGE_TOO_LARGE', retriable: false });
    expect(protocolError(6)).toEqual({ type: 'NOT_LEADER_FOR_PARTITION', retriable: true });
    expect(protocolError(9999).retriable).toBe(false);
  });

  it('tell a broker that is lost from one that refuses', () => {
    const Broker = require('kafkajs/src/broker/index.js') as {
      new (options: object): { lookupRequest(): unknown };
    };
    const notYet = new Broker({ connectionPool: {}, logger: { namespace: () => ({}) } });
    const thrownBy = (run: () => unknown): unknown => {
      try {
        return run();
      } catch (error) {
        return error;
      }
    };
    const closed = new kafkajs.KafkaJSConnectionError('Closed connection');
    const retried = (error: Error): Error =>
      new kafkajs.KafkaJSNumberOfRetriesExceeded(error, { retryCount: 3, retryTime: 1_000 });
    expect(isWithoutBroker(thrownBy(() => notYet.lookupRequest()))).toBe(true);
    expect(isWithoutBroker(closed)).toBe(true);
    expect(isWithoutBroker(retried(closed))).toBe(true);
    const refused = new kafkajs.KafkaJSProtocolError(new Error('not the leader'));
    expect(isWithoutBroker(refused)).toBe(false);
    expect(isWithoutBroker(retried(refused))).toBe(false);
  });

  it('tell a refusal for now from one for good, also after the retries', () => {
    const refused = (type: string, retriable: boolean): Error =>
      new kafkajs.KafkaJSProtocolError(Object.assign(new Error(type), { type, code: 0, retriable }));
    const tried = (error: Error): Error =>
      new kafkajs.KafkaJSNumberOfRetriesExceeded(error, { retryCount: 3, retryTime: 1 });
    const electing = refused('LEADER_NOT_AVAILABLE', true);
    const unknown = refused('UNKNOWN_TOPIC_OR_PARTITION', true);
    const impossible = refused('INVALID_REPLICATION_FACTOR', false);
    const passing = [electing, tried(electing), unknown, tried(unknown), impossible, new Error('x')].map(
      isPassingRefusal,
    );
    expect(passing).toEqual([true, true, false, false, false, false]);
  });
});
