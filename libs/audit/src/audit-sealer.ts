/**
 * Seals the audit log: signs, every few seconds, how long it is and the root of the Merkle tree over it, and puts that
 * where others can hold it. One process seals at a time; two that do so for a moment sign prefixes of the same log, which
 * contradict each other as little as two checkpoints of one process.
 *
 * It never signs a log that is not an extension of what was signed before, on the topic or in the append-only copy: then
 * somebody has changed the log, and a signature would make that true.
 */
import { sealRecords, type LoggedLeaf } from '#contracts/audit-seal-record.js';
import { Failure } from '#domain/errors.js';
import type { AuditPublisher } from './audit-log.js';
import type { CheckpointFolder } from './checkpoint-folder.js';
import { signCheckpoint, type Checkpoint, type SignedCheckpoint } from './checkpoint.js';
import type { NoteSigner } from './signed-note.js';

/** The log as far as it was read, with its tree. */
export interface SealableLog {
  /** Leaves. */
  readonly size: number;
  /** Of the first `size` leaves. */
  rootAt(size: number): Buffer;
  /** @param to exclusive */
  leaves(from: number, to: number): LoggedLeaf[];
  /** The largest that was signed with a known key, on the topic. */
  lastCheckpoint(): SignedCheckpoint | undefined;
  /** Those larger than `size`, smallest first. */
  checkpointsAfter(size: number): SignedCheckpoint[];
  /** Resolves when everything that is in the log and among the checkpoints now was read. */
  readToEnd(): Promise<void>;
}

/** So many leaves a seal: their second copy is one record of about half a megabyte. */
const LEAVES_PER_SEAL_MAX = 4_000;

export class AuditSealer {
  /** The last that this one has signed: the topic shows it a little later. */
  private signed: SignedCheckpoint | undefined;

  constructor(
    private readonly log: SealableLog,
    private readonly signer: NoteSigner,
    private readonly folder: CheckpointFolder,
    private readonly publisher: AuditPublisher,
    private readonly source: string,
  ) {}

  /** The leaves that the append-only copy has. Exclusive. */
  get copiedTo(): number {
    return this.folder.newest?.size ?? 0;
  }

  /**
   * Seals what has been read of the log, if there is any that is not sealed.
   *
   * @returns the leaves that were sealed
   * @throws Failure AUDIT_HISTORY_CHANGED (final: nothing is signed any more), AUDIT_SEAL_FAILED (retryable)
   */
  async seal(): Promise<number> {
    const before = this.log.lastCheckpoint();
    await this.expectExtends(before);
    await this.expectExtends(this.folder.newest);
    let from = Math.max(this.signed?.size ?? 0, before?.size ?? 0);
    const { size } = this.log;
    const sealed = size - from;
    try {
      while (from < size) {
        const to = Math.min(size, from + LEAVES_PER_SEAL_MAX);
        const checkpoint = signCheckpoint(this.signer, to, this.log.rootAt(to));
        const span = { from, leaves: this.log.leaves(from, to) };
        await this.publisher.publishAll(sealRecords(span, checkpoint.note, this.source));
        this.signed = checkpoint;
        from = to;
      }
    } catch (cause) {
      throw new Failure('AUDIT_SEAL_FAILED', 'A checkpoint of the audit log could not be published.', true, { cause });
    }
    return Math.max(0, sealed);
  }

  /**
   * Writes to the append-only copy what it lacks: what was sealed just now, what an earlier owner has sealed, and what
   * could not be written when it was sealed. Apart from sealing, so that neither Kafka nor the folder holds up the other.
   *
   * @throws Failure AUDIT_HISTORY_CHANGED (final), AUDIT_COPY_FAILED (retryable)
   */
  async copy(): Promise<void> {
    await this.expectExtends(this.log.lastCheckpoint());
    await this.expectExtends(this.folder.newest);
    try {
      const checkpoints = this.log.checkpointsAfter(this.copiedTo);
      if (this.signed !== undefined) checkpoints.push(this.signed);
      for (const checkpoint of checkpoints) await this.keepUpFolder(checkpoint);
    } catch (cause) {
      throw new Failure('AUDIT_COPY_FAILED', 'The append-only copy of the seals could not be written.', true, {
        cause,
      });
    }
  }

  /** The folder has no gaps: what it lacks before this checkpoint comes with it. */
  private async keepUpFolder(checkpoint: SignedCheckpoint): Promise<void> {
    for (let from = this.copiedTo; from < checkpoint.size;) {
      const to = Math.min(checkpoint.size, from + LEAVES_PER_SEAL_MAX);
      const at = to === checkpoint.size ? checkpoint : signCheckpoint(this.signer, to, this.log.rootAt(to));
      await this.folder.append({ from, leaves: this.log.leaves(from, to) }, at);
      from = to;
    }
  }

  private async expectExtends(checkpoint: Checkpoint | undefined): Promise<void> {
    if (checkpoint === undefined) return;
    // Another process may have sealed what this one has yet to read.
    if (checkpoint.size > this.log.size) await this.log.readToEnd();
    if (checkpoint.size <= this.log.size && this.log.rootAt(checkpoint.size).equals(checkpoint.root)) return;
    throw new Failure(
      'AUDIT_HISTORY_CHANGED',
      `The audit log no longer begins with the ${checkpoint.size} leaves that were sealed.`,
      false,
    );
  }
}
