/**
 * Which replica seals, and how long the log is unsealed. The group of `audit.checkpoints`, which has one partition, has
 * one owner of it: that replica seals, and when it is gone another one does within the session's timeout.
 */
import type { AuditSealer } from '#audit/audit-sealer.js';
import { AUDIT_CHECKPOINTS } from '#contracts/topics.js';
import { CodedError, describeError } from '#domain/errors.js';
import { pause } from '#kafka/backoff.js';
import type { GroupConsumer } from '#kafka/group-consumer.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { Health } from '#platform/health.js';
import type { Log } from '#platform/log.js';
import type { QueryMetrics } from '#platform/metrics.js';
import type { AuditView } from './audit-view.js';

/** An entry is sealed within this and a round trip; when the owner was killed, within this and the session's timeout. */
const SEAL_INTERVAL_MS = 3_000;
/** The least that a broker grants by default. */
const SESSION_TIMEOUT_MS = 6_000;
const METRICS_INTERVAL_MS = 1_000;
const ALARM = 'audit';

export interface AuditSurroundings {
  readonly metrics: QueryMetrics;
  readonly health: Health;
  readonly log: Log;
  readonly onFatal: (error: unknown) => void;
}

export class AuditSealing {
  private readonly consumer: GroupConsumer | undefined;
  private readonly timer: NodeJS.Timeout;
  private running: Promise<void> = Promise.resolve();
  /** The copy of a replica that does not seal lags, and is filled when it takes over. */
  private isOwner = false;

  /** @param sealer undefined on a replica that has no key: it shows how long the log is unsealed, and seals nothing */
  constructor(
    kafka: KafkaClient,
    private readonly view: AuditView,
    private readonly sealer: AuditSealer | undefined,
    private readonly around: AuditSurroundings,
  ) {
    this.timer = setInterval(() => this.measure(), METRICS_INTERVAL_MS).unref();
    if (sealer === undefined) return;
    this.consumer = kafka.groupConsumer({
      groupId: 'custody-audit-seal',
      topics: [AUDIT_CHECKPOINTS],
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      onAssigned: (assignment, _generation, signal) => {
        if (assignment.length > 0) this.running = this.running.then(() => this.sealUntil(sealer, signal));
      },
      // Being its owner is all that is wanted of the topic: the view reads it.
      onBatch: () => Promise.resolve(),
      onFatal: around.onFatal,
    });
    this.consumer.start();
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.consumer?.close();
    await this.running;
  }

  private async sealUntil(sealer: AuditSealer, signal: AbortSignal): Promise<void> {
    const { metrics, health, log } = this.around;
    log.info('audit-sealing');
    let isNew = true;
    this.isOwner = true;
    while (!signal.aborted) {
      await this.attempt('audit-not-sealed', 'unavailable', async () => {
        // What the owner before has sealed comes first.
        if (isNew) await this.view.readToEnd();
        isNew = false;
        if ((await sealer.seal()) > 0) metrics.auditCheckpointsTotal.inc();
        health.calm(ALARM);
      });
      await this.attempt('audit-not-copied', 'copy', () => sealer.copy());
      await pause(SEAL_INTERVAL_MS, signal);
    }
    this.isOwner = false;
  }

  private async attempt(event: string, reason: string, run: () => Promise<void>): Promise<void> {
    const { metrics, health, log } = this.around;
    try {
      await run();
    } catch (error) {
      const changed = error instanceof CodedError && error.code === 'AUDIT_HISTORY_CHANGED';
      if (changed) health.alarm(ALARM, error.publicText);
      metrics.auditSealFailuresTotal.inc({ reason: changed ? 'history-changed' : reason });
      log.error(changed ? 'audit-history-changed' : event, { error: describeError(error) });
    }
  }

  private measure(): void {
    const sealed = this.view.lastCheckpoint()?.size ?? 0;
    const sinceMs = this.view.unsealedSinceMs();
    const { metrics } = this.around;
    metrics.auditLogRecords.set(this.view.size);
    metrics.auditUnsealedRecords.set(Math.max(0, this.view.size - sealed));
    metrics.auditUnsealedAgeSeconds.set(ageSeconds(sinceMs));
    const copied = this.isOwner ? this.sealer!.copiedTo : sealed;
    metrics.auditUncopiedRecords.set(Math.max(0, sealed - copied));
    metrics.auditUncopiedAgeSeconds.set(copied < sealed ? ageSeconds(this.view.loggedAtMs(copied)) : 0);
  }
}

function ageSeconds(sinceMs: number | undefined): number {
  return sinceMs === undefined ? 0 : Math.max(0, Date.now() - sinceMs) / 1000;
}
