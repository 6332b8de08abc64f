import type { Admin, Kafka } from 'kafkajs';
import { describeError, Failure } from '#domain/errors.js';
import { within } from './backoff.js';
import { isNotAuthenticated, isNotAuthorised, isPassingRefusal, isWithoutBroker } from './kafkajs-workarounds.js';

export const CALL_TIMEOUT_MS = 30_000;

/**
 * Runs administrative calls on a connection of their own.
 *
 * @throws Failure KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHENTICATED, KAFKA_NOT_AUTHORISED, TOPIC_CHANGE_FAILED
 */
export async function withAdmin<T>(kafka: Kafka, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin({ retry: { retries: 3 } });
  try {
    try {
      await within(CALL_TIMEOUT_MS, 'no broker answered', admin.connect());
    } catch (cause) {
      if (isNotAuthenticated(cause)) {
        throw new Failure('KAFKA_NOT_AUTHENTICATED', 'Kafka does not accept the credentials.', false, { cause });
      }
      throw new Failure('KAFKA_UNAVAILABLE', 'Kafka cannot be reached.', true, { cause });
    }
    return await use(admin);
  } catch (error) {
    if (error instanceof Failure) throw error;
    if (isWithoutBroker(error)) {
      throw new Failure('KAFKA_UNAVAILABLE', 'Kafka was lost before it answered.', true, { cause: error });
    }
    if (isPassingRefusal(error)) {
      throw new Failure('KAFKA_UNAVAILABLE', `Kafka is not ready: ${describeError(error)}`, true, { cause: error });
    }
    const text = `Kafka refused an administrative request: ${describeAll(error)}`;
    if (isNotAuthorised(error)) throw new Failure('KAFKA_NOT_AUTHORISED', text, false, { cause: error });
    throw new Failure('TOPIC_CHANGE_FAILED', text, false, { cause: error });
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/** kafkajs gathers what a broker says of several topics, and its own message then says nothing. */
function describeAll(error: unknown): string {
  const { errors } = error as { errors?: { topic?: string; message: string }[] };
  if (errors === undefined) return describeError(error);
  return errors.map(({ topic, message }) => (topic === undefined ? message : `${topic}: ${message}`)).join('; ');
}
