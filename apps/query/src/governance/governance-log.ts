/**
 * Follows `governance.decisions`, whole before the service is ready and then at once, and puts decisions into it. What
 * is in force is what the log says: a decision counts when this replica has read it back, as every other one will.
 */
import type { AuditLog } from '#audit/audit-log.js';
import type { DatedDecision } from '#contracts/dpia-evidence.js';
import {
  encodeGovernanceDecision,
  governanceDecisionHeaders,
  parseGovernanceDecision,
} from '#contracts/governance-record.js';
import { GOVERNANCE_DECISIONS } from '#contracts/topics.js';
import { CodedError, describeError, Failure, Refusal } from '#domain/errors.js';
import {
  foldGovernance,
  NOTHING_DECIDED,
  thresholdsInForce,
  type GovernanceDecision,
  type GovernanceState,
} from '#domain/governance.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import { totalLag } from '#kafka/disposition-follower.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import type { LogReader } from '#kafka/log-reader.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Log } from '#platform/log.js';
import { QUERY_SOURCE } from '../query-source.js';
import { governanceStatement } from './governance-audit.js';
import type { DeployedThresholds } from './thresholds.js';

const ACCEPT_DEADLINE_MS = 5_000;

interface Waiter {
  readonly offset: number;
  readonly resolve: () => void;
}

export class GovernanceLog {
  private folded = NOTHING_DECIDED;
  private readonly counted: DatedDecision[] = [];
  /** Why a record did not count, by its offset. */
  private readonly refused = new Map<number, CodedError>();
  private waiters: Waiter[] = [];
  private nextOffset = 0;
  private readonly reader: LogReader;

  constructor(
    private readonly kafka: KafkaClient,
    private readonly publisher: Publisher,
    private readonly audit: AuditLog,
    private readonly log: Log,
    onFatal: (error: unknown) => void,
    private readonly onChange: (state: GovernanceState) => void = () => {},
    /** Another one only where decisions must not outlive a test. */
    private readonly topic: string = GOVERNANCE_DECISIONS,
  ) {
    this.reader = kafka.logReader({
      topic,
      partitions: [0],
      from: 'beginning',
      onFatal,
      onBatch: ({ records, nextOffset }) => {
        for (const record of records) this.apply(record);
        this.nextOffset = nextOffset;
        if (records.length > 0) this.onChange(this.folded);
        for (const { offset, resolve } of this.waiters) if (offset < nextOffset) resolve();
        return Promise.resolve();
      },
    });
  }

  /**
   * Resolves when everything that was decided before has been read. The deployment's own thresholds are put on record
   * where there are none yet.
   *
   * @throws Failure AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE
   */
  async start(deployed: DeployedThresholds): Promise<void> {
    await this.reader.start();
    await this.reader.caughtUp();
    if (thresholdsInForce(this.state) === undefined) await this.deploy(deployed);
    const inForce = [...this.state.thresholds.values()].find(({ state }) => state === 'in-force');
    if (inForce?.fileSha256 !== deployed.fileSha256) {
      this.log.warn('thresholds-file-not-in-force', {
        file: deployed.fileSha256,
        versionInFile: deployed.thresholds.version,
        versionInForce: inForce?.version,
        mend: 'propose and approve the thresholds: POST /v1/thresholds',
      });
    }
  }

  /** As this replica has read it so far. */
  get state(): GovernanceState {
    return this.folded;
  }

  /** Every decision that counted, in the order of the log. */
  get history(): readonly DatedDecision[] {
    return this.counted;
  }

  /**
   * Takes a decision: what is not legal now is refused, what is goes on record and into the log, and counts if it is
   * still legal where the log has put it.
   *
   * @returns whether it is new; false for the repetition of one that counts
   * @throws Refusal as {@link foldGovernance} does, IDEMPOTENCY_KEY_REUSED; Failure AUDIT_UNAVAILABLE,
   *   KAFKA_UNAVAILABLE, GOVERNANCE_BEHIND
   */
  async take(decision: GovernanceDecision): Promise<boolean> {
    await this.upToDate();
    if (this.repeats(decision)) return false;
    foldGovernance(this.state, decision, new Date().toISOString());
    await this.audit.append([governanceStatement(decision)]);
    const { offset } = await this.publisher.publish(
      {
        topic: this.topic,
        key: decision.decisionId,
        partition: 0,
        value: encodeGovernanceDecision(decision),
        headers: governanceDecisionHeaders(decision, QUERY_SOURCE),
      },
      ACCEPT_DEADLINE_MS,
    );
    await this.untilRead(offset);
    const refusal = this.refused.get(offset);
    if (refusal === undefined) return true;
    // The same request, on two replicas at once: the log has it twice and it counts once.
    if (refusal.code === 'DECISION_REPEATED' && this.repeats(decision)) return false;
    throw refusal;
  }

  lagRecords(): number {
    return totalLag(this.reader);
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  /**
   * Whatever another replica has put into the log before is known here afterwards: who approves what was proposed there a
   * moment ago is not told that it does not exist.
   *
   * @throws Failure KAFKA_UNAVAILABLE, GOVERNANCE_BEHIND
   */
  async upToDate(): Promise<void> {
    const ends = await this.kafka
      .topicAdmin()
      .topicOffsets(this.topic)
      .catch((cause: unknown) => {
        throw new Failure(
          'KAFKA_UNAVAILABLE',
          'Kafka does not say how far the log of decisions goes; try again.',
          true,
          {
            cause,
          },
        );
      });
    await this.untilRead(ends.get(0)!.high - 1);
  }

  private async deploy({ thresholds, fileSha256 }: DeployedThresholds): Promise<void> {
    const by = QUERY_SOURCE;
    const reason = 'Came with the deployment; there were no thresholds before.';
    try {
      await this.take(
        // One id for every replica that starts with this file.
        { type: 'THRESHOLDS_DEPLOYED', decisionId: fileSha256, by, role: 'system', reason, thresholds, fileSha256 },
      );
    } catch (error) {
      // Another replica, with another file, was first.
      if (!(error instanceof Refusal) || error.code !== 'THRESHOLDS_DEPLOYED_BEFORE') throw error;
    }
  }

  /** @throws Refusal IDEMPOTENCY_KEY_REUSED */
  private repeats(decision: GovernanceDecision): boolean {
    const first = this.state.accepted.get(decision.decisionId);
    if (first === undefined) return false;
    const parsedAsRead = parseGovernanceDecision(encodeGovernanceDecision(decision));
    if (JSON.stringify(first) === JSON.stringify(parsedAsRead)) return true;
    throw new Refusal('IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key was used before, for another request.');
  }

  private async untilRead(offset: number): Promise<void> {
    if (this.nextOffset > offset) return;
    let timer: NodeJS.Timeout | undefined;
    let waiter: Waiter | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        waiter = { offset, resolve };
        this.waiters.push(waiter);
        timer = setTimeout(() => {
          reject(
            new Failure('GOVERNANCE_BEHIND', 'This replica has not read the decisions that far yet; try again.', true),
          );
        }, ACCEPT_DEADLINE_MS);
      });
    } finally {
      clearTimeout(timer);
      this.waiters = this.waiters.filter((other) => other !== waiter);
    }
  }

  private apply(record: KafkaRecord): void {
    const { offset } = record;
    try {
      const decision = parseGovernanceDecision(record.value);
      // The log's own time: nobody says for himself when he decided.
      const at = new Date(record.timestampMs).toISOString();
      this.folded = foldGovernance(this.folded, decision, at);
      this.counted.push({ ...decision, at });
      this.log.info('governance-decision', { offset, type: decision.type });
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.refused.set(offset, error);
      this.log.warn('governance-decision-ignored', { offset, code: error.code, error: describeError(error) });
    }
  }
}
