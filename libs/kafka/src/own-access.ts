/**
 * What this process may do in Kafka, against what the table says that it does. A right that is missing would otherwise be
 * noticed when it is needed, and a denied read not at all: it looks like a topic to which nobody writes.
 */
import type { Kafka } from 'kafkajs';
import { accessOf, covers, type Access, type AccessOperation, type OwnPrincipal } from '#contracts/access.js';
import type { DesiredTopic } from '#contracts/topics.js';
import { describeError, Failure } from '#domain/errors.js';
import { AdminRequests, type AuthorisedOperations } from './admin-requests.js';
import { pause, within } from './backoff.js';
import { isNotAuthenticated } from './kafkajs-workarounds.js';
import type { KafkaLog } from './kafka-record.js';

/** Whoever grants what is missing sees soon that it was enough. */
const AGAIN_AFTER_MS = 2_000;
/** A right that is taken away from a running service is an accident; so is seen within this time. */
const LOOK_EVERY_MS = 30_000;
const CALL_TIMEOUT_MS = 20_000;

/** Kafka's codes (org.apache.kafka.common.acl.AclOperation), each a bit of what a broker says is permitted. */
const OPERATION_CODES: Readonly<Record<AccessOperation, number>> = {
  read: 3,
  write: 4,
  create: 5,
  delete: 6,
  describe: 8,
  'describe-configs': 10,
  'alter-configs': 11,
};
/** In the place of what a prefix stands for: whether one may know of such a thing is answered although there is none. */
const NOBODYS = '0'.repeat(16);

export class OwnAccess {
  private readonly stopping = new AbortController();

  constructor(
    private readonly kafka: Kafka,
    private readonly log: KafkaLog,
    private readonly principal: OwnPrincipal,
    /** Those that are there, or will be. */
    private readonly topics: readonly DesiredTopic[],
    private readonly onClosed: () => void,
  ) {}

  /**
   * What the table grants and the brokers do not. What cannot be known yet is not among it: what may be done with a topic
   * that does not exist, and the settings of one that this process may not know of.
   *
   * @throws Failure KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHENTICATED
   */
  async missing(): Promise<readonly Access[]> {
    return this.asking((requests) => this.missingOf(requests, accessOf(this.principal)));
  }

  /**
   * Of its topics, those that this process may not even know of: they look as if they were missing.
   *
   * @throws Failure KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHENTICATED
   */
  async hiddenTopics(): Promise<readonly string[]> {
    return this.asking(async (requests) => {
      const names = this.topics.map(({ name }) => name);
      const { topics } = await requests.topicOperations(names, false);
      return names.filter((name) => topics.get(name) === 'denied');
    });
  }

  /** Waits until nothing is missing; says what is, when it changes. */
  async granted(onMissing: (what: string) => void): Promise<void> {
    let said: string | undefined;
    while (!this.stopping.signal.aborted) {
      const what = describeMissing(await this.missing());
      if (what === undefined) return;
      if (what !== said) this.log.error('kafka-access-missing', { principal: this.principal, what });
      said = what;
      onMissing(what);
      await pause(AGAIN_AFTER_MS, this.stopping.signal);
    }
  }

  /** From now on: tells each time that something is missing which was not, or nothing any more. */
  async watch(onChange: (missing: string | undefined) => void, everyMs = LOOK_EVERY_MS): Promise<void> {
    const { signal } = this.stopping;
    let said: string | undefined;
    for (;;) {
      await pause(everyMs, signal);
      if (signal.aborted) return;
      try {
        const what = describeMissing(await this.missing());
        if (what === said) continue;
        if (what === undefined) this.log.info('kafka-access-granted', { principal: this.principal });
        else this.log.error('kafka-access-missing', { principal: this.principal, what });
        said = what;
        onChange(what);
      } catch (error) {
        // Those who write and read notice an outage themselves.
        this.log.debug('kafka-access-unknown', { error: describeError(error) });
      }
    }
  }

  close(): Promise<void> {
    this.stopping.abort();
    this.onClosed();
    return Promise.resolve();
  }

  private async asking<T>(ask: (requests: AdminRequests) => Promise<T>): Promise<T> {
    const asked = (async () => {
      const requests = await AdminRequests.open(this.kafka);
      return ask(requests).finally(() => void requests.close());
    })();
    try {
      return await within(CALL_TIMEOUT_MS, 'no broker answered', asked);
    } catch (cause) {
      if (isNotAuthenticated(cause)) {
        throw new Failure('KAFKA_NOT_AUTHENTICATED', 'Kafka does not accept the credentials.', false, { cause });
      }
      throw new Failure('KAFKA_UNAVAILABLE', 'Kafka did not say what this process may do there.', true, { cause });
    }
  }

  private async missingOf(requests: AdminRequests, wanted: readonly Access[]): Promise<readonly Access[]> {
    const ofPrefixes = wanted.flatMap(({ resource: { kind, name, pattern } }) =>
      kind === 'topic' && pattern === 'prefixed' ? [`${name}${NOBODYS}`] : [],
    );
    const names = new Set([...this.topics.map(({ name }) => name), ...ofPrefixes]);
    const ofCluster = wanted.some(({ resource }) => resource.kind === 'cluster');
    const found = await requests.topicOperations([...names], ofCluster);
    const groups = new Map<string, AuthorisedOperations>();
    const missing: Access[] = [];
    for (const access of wanted) {
      const { kind, name, pattern } = access.resource;
      if (kind === 'cluster') {
        if (!permits(found.cluster, access.operation)) missing.push(access);
      } else if (kind === 'group') {
        const id = pattern === 'prefixed' ? `${name}${NOBODYS}` : name;
        if (!groups.has(id)) groups.set(id, await requests.groupOperations(id));
        if (!permits(groups.get(id)!, access.operation)) missing.push(access);
      } else {
        const ofTopics = [...found.topics].filter(([topic]) => covers(access.resource, 'topic', topic));
        if (!ofTopics.every(([, operations]) => permits(operations, access.operation))) missing.push(access);
      }
    }
    return missing;
  }
}

/** Of what is not even named to this client, nothing more can be asked; these rights would have it named. */
const NAMING: readonly AccessOperation[] = ['read', 'write', 'delete', 'describe'];

function permits(operations: AuthorisedOperations, wanted: AccessOperation): boolean {
  if (operations === 'denied') return !NAMING.includes(wanted);
  return operations === 'unknown' || (operations & (1 << OPERATION_CODES[wanted])) !== 0;
}

/** `KAFKA_NOT_AUTHORISED: …` for people who look at the readiness; undefined when nothing is missing. */
export function describeMissing(missing: readonly Access[]): string | undefined {
  if (missing.length === 0) return undefined;
  const all = missing.map(
    ({ operation, resource: { kind, name, pattern } }) =>
      `${operation} on ${kind} ${name}${pattern === 'prefixed' ? '*' : ''}`,
  );
  return `KAFKA_NOT_AUTHORISED: may not ${all.join(', ')}`;
}
