/**
 * What kafkajs 2.2.4 needs before it is used. Each part names its reason; all of them reach into kafkajs, so they are
 * here and nowhere else, and a test pins that kafkajs still looks as expected.
 */
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import kafkajs from 'kafkajs';
import { crc32c, encodeRecord, recordDecoder } from './kafkajs-record-codec.js';

const require = createRequire(import.meta.url);

interface RequestQueuePrototype {
  scheduleCheckPendingRequests: (this: { pending: unknown[] }) => void;
}
interface ProduceResponseModule {
  parse: (data: ProduceResponse) => Promise<ProduceResponse>;
}
type FilterAborted = <M>(input: { messages: M[]; abortedTransactions: unknown[] | undefined }) => M[];

/** What a broker says to a produce request, partition by partition. */
export interface ProduceResponse {
  readonly topics: readonly {
    readonly topicName: string;
    readonly partitions: readonly {
      readonly partition: number;
      readonly errorCode: number;
      readonly baseOffset: string;
    }[];
  }[];
}

const RESPONSE = Symbol('produce response');
let applied = false;

/** Safe to call more than once. */
export function applyKafkajsWorkarounds(): void {
  if (applied) return;
  applied = true;
  stopIdlePolling();
  keepPartialProduceResponses();
  takeRecordCodec();
  addZstd();
}

/**
 * Every response schedules a check of the requests that wait, also when none does, and with a timeout in the past: an
 * endless 1 ms timer that costs 2.5 % of a core (upstream 1604, 1751) and a TimeoutNegativeWarning on current Node.
 * Whoever adds a waiting request schedules the check itself, so nothing is lost by not doing it for an empty queue.
 */
export function stopIdlePolling(): void {
  const { prototype } = require('kafkajs/src/network/requestQueue/index.js') as { prototype: RequestQueuePrototype };
  const original = prototype.scheduleCheckPendingRequests;
  prototype.scheduleCheckPendingRequests = function scheduleCheckPendingRequests() {
    if (this.pending.length > 0) original.call(this);
  };
}

/**
 * A produce request spans partitions, and one may be refused while the others were written. kafkajs throws the first
 * error and forgets the rest; with the response kept on the error only what failed is sent again.
 */
function keepPartialProduceResponses(): void {
  const module = require('kafkajs/src/protocol/requests/produce/v7/response.js') as ProduceResponseModule;
  const original = module.parse;
  module.parse = async (data) => {
    try {
      return await original(data);
    } catch (error) {
      (error as Record<symbol, unknown>)[RESPONSE] = data;
      throw error;
    }
  };
}

/**
 * What a record costs to encode and decode, and a batch's checksum: see `kafkajs-record-codec`. kafkajs loads these
 * modules with the first request that needs them, so they are replaced before.
 */
function takeRecordCodec(): void {
  const replace = (name: string, exports: unknown): void => {
    const path = require.resolve(`kafkajs/src/protocol/${name}`);
    require(path);
    require.cache[path]!.exports = exports;
  };
  const { LOG_APPEND_TIME } = require('kafkajs/src/protocol/timestampTypes.js') as { LOG_APPEND_TIME: unknown };
  replace('recordBatch/record/v0/index.js', encodeRecord);
  replace('recordBatch/record/v0/decoder.js', recordDecoder(LOG_APPEND_TIME));
  replace('recordBatch/crc32C/index.js', crc32c);
}

/** kafkajs brings gzip only; Node brings zstd. Topics should say `compression.type`, so that no other codec is read. */
function addZstd(): void {
  const { CompressionCodecs, CompressionTypes } = kafkajs;
  const compress = promisify(zstdCompress);
  const decompress = promisify(zstdDecompress);
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: (encoder: { buffer: Buffer }) => compress(encoder.buffer),
    decompress: (buffer: Buffer) => decompress(buffer),
  });
}

/** The whole answer to a produce request that failed in some partitions, or undefined when there was no answer. */
export function partialProduceResponse(error: unknown): ProduceResponse | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  return (error as Record<symbol, ProduceResponse | undefined>)[RESPONSE];
}

/** Drops the records of aborted transactions. */
export const withoutAborted = require('kafkajs/src/consumer/filterAbortedMessages.js') as FilterAborted;

const { createErrorFromCode } = require('kafkajs/src/protocol/error.js') as {
  createErrorFromCode: (code: number) => Error & { type: string; code: number; retriable: boolean };
};

/** The name of a broker's error code, and whether the same request may succeed later. */
export function protocolError(code: number): { readonly type: string; readonly retriable: boolean } {
  const { type, retriable } = createErrorFromCode(code);
  return { type, retriable };
}

/**
 * Whether no broker has refused anything: it could not be reached, or was lost before it answered. kafkajs says so in
 * several ways, after its retries as an error that nobody should retry, and between two connections as a plain one.
 */
export function isWithoutBroker(error: unknown): boolean {
  if (error instanceof kafkajs.KafkaJSNumberOfRetriesExceeded) return isWithoutBroker(error.cause);
  return (
    error instanceof kafkajs.KafkaJSConnectionError ||
    error instanceof kafkajs.KafkaJSRequestTimeoutError ||
    error instanceof kafkajs.KafkaJSBrokerNotFound ||
    error instanceof kafkajs.KafkaJSLockTimeout ||
    (error instanceof Error && error.message === NOT_CONNECTED)
  );
}

/**
 * Whether a broker has refused for now: it elects a leader, or has just started. After its retries, kafkajs says of it too
 * that nobody should retry. That there is no such topic it calls passing, which it is only for a topic just made.
 */
export function isPassingRefusal(error: unknown): boolean {
  if (error instanceof kafkajs.KafkaJSNumberOfRetriesExceeded) return isPassingRefusal(error.cause);
  const { type, retriable } = error as { type?: unknown; retriable?: unknown };
  return error instanceof kafkajs.KafkaJSProtocolError && retriable === true && type !== 'UNKNOWN_TOPIC_OR_PARTITION';
}

/** Whether a broker refused to hear who this is: a wrong password, or a certificate that it does not trust. */
export function isNotAuthenticated(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error.name === 'KafkaJSSASLAuthenticationError') return true;
  // OpenSSL's words: what fails in TLS reaches kafkajs as any other loss of a connection does.
  if (/certificate|ssl3?_|tlsv1|SSL alert/i.test(error.message)) return true;
  return error.cause !== undefined && isNotAuthenticated(error.cause);
}

/** Whether a broker knows who this is, and does not let it do what it asked for; of several refusals, whether one is that. */
export function isNotAuthorised(error: unknown): boolean {
  const { type, cause, errors } = error as { type?: unknown; cause?: unknown; errors?: unknown };
  if (typeof type === 'string' && type.endsWith('_AUTHORIZATION_FAILED')) return true;
  if (Array.isArray(errors) && errors.some(isNotAuthorised)) return true;
  return typeof cause === 'object' && cause !== null && isNotAuthorised(cause);
}

const NOT_CONNECTED = 'Broker not connected';
