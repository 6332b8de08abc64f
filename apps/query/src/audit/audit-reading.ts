/**
 * Shows the audit to auditors: entries, checkpoints, proofs. Each look is itself in the audit before it is answered.
 */
import type { AuditLog } from '#audit/audit-log.js';
import type { SignedCheckpoint } from '#audit/checkpoint.js';
import { consistencyProof, inclusionProof } from '#audit/merkle-tree.js';
import { parseAuditQuery, parseCheckpointQuery, parseProofQuery, type ProofQuery } from '#contracts/audit-forms.js';
import { auditLeaf, parseAuditEntry, type AuditEntry } from '#contracts/audit-record.js';
import { Failure, Refusal } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import type { AuditView, FoundLeaf } from './audit-view.js';

/** `changed`: the entry is there and is not the one whose leaf is in the log; `missing`: nobody decided its destruction. */
export type EntryState = 'kept' | 'destroyed' | 'missing' | 'changed';

export interface ShownEntry {
  /** Of its leaf, from 0. */
  readonly index: number;
  readonly eventId: string;
  readonly loggedAt: string;
  /** A signed checkpoint covers it. */
  readonly sealed: boolean;
  readonly state: EntryState;
  readonly entry: AuditEntry | null;
}

export interface AuditPage {
  readonly entries: readonly ShownEntry[];
  readonly nextCursor: string | null;
  /** Leaves in the log, and how many of them a signed checkpoint covers. */
  readonly log: { readonly size: number; readonly sealed: number };
}

/** Hashes are base64 of 32 bytes, from the leaf upwards. */
export interface InclusionProof {
  readonly kind: 'inclusion';
  readonly eventId: string;
  readonly index: number;
  readonly size: number;
  readonly leaf: string;
  readonly proof: readonly string[];
  /** The signed note that has the root. */
  readonly checkpoint: string;
  /** The entry's exact text, whose SHA-256 is the leaf; null when it is destroyed. */
  readonly entry: string | null;
}

export interface ConsistencyProof {
  readonly kind: 'consistency';
  readonly from: number;
  readonly to: number;
  readonly proof: readonly string[];
  readonly fromCheckpoint: string;
  readonly toCheckpoint: string;
}

const base64 = (hash: Buffer): string => hash.toString('base64');

export class AuditReading {
  constructor(
    private readonly view: AuditView,
    private readonly audit: AuditLog,
  ) {}

  /** Newest first. @throws Refusal BAD_REQUEST, BAD_CURSOR; Failure AUDIT_UNAVAILABLE */
  async list(actor: Actor, query: unknown): Promise<AuditPage> {
    const { asked, filter, belowIndex, limit } = parseAuditQuery(query);
    const { subjectId, imageId, searchId } = filter;
    await this.audit.append([
      {
        operation: 'consultation',
        action: 'audit-read',
        actor: actor.id,
        role: 'auditor',
        purpose: 'audit',
        recipients: [actor.id],
        ...(searchId !== undefined && { searchId }),
        ...(subjectId !== undefined && { subjectIds: [subjectId] }),
        ...(imageId !== undefined && { imageIds: [imageId] }),
        detail: asked,
      },
    ]);
    const found = this.view.list(filter, belowIndex ?? this.view.size, limit + 1);
    const page = found.slice(0, limit);
    const sealed = this.view.lastCheckpoint()?.size ?? 0;
    const destroyedBelow = this.view.destroyedBelow();
    const last = page.at(-1);
    return {
      entries: page.map((leaf) => shown(leaf, sealed, destroyedBelow)),
      nextCursor: found.length > limit && last !== undefined ? String(last.index) : null,
      log: { size: this.view.size, sealed },
    };
  }

  /** The signed note. @throws Refusal CHECKPOINT_NOT_FOUND; Failure AUDIT_NOT_SEALED, AUDIT_UNAVAILABLE */
  async checkpoint(actor: Actor, query: unknown): Promise<string> {
    const size = parseCheckpointQuery(query);
    const { note, size: shownSize } = this.sealedAt(size);
    await this.audit.append([this.look(actor, 'audit-checkpoint-read', { size: shownSize })]);
    return note;
  }

  /** @throws Refusal AUDIT_ENTRY_NOT_FOUND, CHECKPOINT_NOT_FOUND; Failure AUDIT_NOT_SEALED, AUDIT_UNAVAILABLE */
  async proof(actor: Actor, query: unknown): Promise<InclusionProof | ConsistencyProof> {
    const asked = parseProofQuery(query);
    const proof = asked.kind === 'inclusion' ? this.inclusion(asked) : this.consistency(asked);
    const about =
      proof.kind === 'inclusion' ? { index: proof.index, size: proof.size } : { from: proof.from, to: proof.to };
    await this.audit.append([this.look(actor, 'audit-proof-read', about)]);
    return proof;
  }

  private inclusion(asked: Extract<ProofQuery, { kind: 'inclusion' }>): InclusionProof {
    const index = 'index' in asked.entry ? asked.entry.index : this.view.indexOf(asked.entry.eventId);
    const leaf = index === undefined ? undefined : this.view.leaf(index);
    if (leaf === undefined) throw new Refusal('AUDIT_ENTRY_NOT_FOUND', 'There is no such entry in the audit log.');
    const checkpoint = this.sealedAt(asked.size);
    if (leaf.index >= checkpoint.size) {
      if (asked.size === undefined) throw notSealedYet();
      throw new Refusal('AUDIT_ENTRY_NOT_FOUND', `The checkpoint of ${checkpoint.size} leaves does not cover it.`);
    }
    return {
      kind: 'inclusion',
      eventId: leaf.eventId,
      index: leaf.index,
      size: checkpoint.size,
      leaf: base64(leaf.leaf),
      proof: inclusionProof(leaf.index, checkpoint.size, this.view.nodeAt).map(base64),
      checkpoint: checkpoint.note,
      entry: leaf.body?.toString('utf8') ?? null,
    };
  }

  private consistency(asked: Extract<ProofQuery, { kind: 'consistency' }>): ConsistencyProof {
    const from = this.sealedAt(asked.from);
    const to = this.sealedAt(asked.to);
    if (from.size > to.size) throw new Refusal('BAD_REQUEST', 'from is at most to.', { field: 'from' });
    return {
      kind: 'consistency',
      from: from.size,
      to: to.size,
      proof: consistencyProof(from.size, to.size, this.view.nodeAt).map(base64),
      fromCheckpoint: from.note,
      toCheckpoint: to.note,
    };
  }

  private sealedAt(size: number | undefined): SignedCheckpoint {
    const checkpoint = size === undefined ? this.view.lastCheckpoint() : this.view.checkpointAt(size);
    if (checkpoint !== undefined && checkpoint.size <= this.view.size) return checkpoint;
    if (size === undefined) throw notSealedYet();
    throw new Refusal('CHECKPOINT_NOT_FOUND', `No checkpoint of ${size} leaves was signed.`);
  }

  private look(actor: Actor, action: string, detail: Readonly<Record<string, number>>) {
    return {
      operation: 'consultation' as const,
      action,
      actor: actor.id,
      role: 'auditor' as const,
      purpose: 'audit',
      recipients: [actor.id],
      detail,
    };
  }
}

function notSealedYet(): Failure {
  return new Failure('AUDIT_NOT_SEALED', 'No checkpoint covers it yet; one is signed every few seconds.', true);
}

function shown(leaf: FoundLeaf, sealedTo: number, destroyedBelow: number): ShownEntry {
  const { index, eventId, loggedAt, body } = leaf;
  const entry = body === undefined ? undefined : parseAuditEntry(body);
  return {
    index,
    eventId,
    loggedAt,
    sealed: index < sealedTo,
    state: stateOf(leaf, destroyedBelow),
    entry: entry ?? null,
  };
}

function stateOf({ body, leaf, index }: FoundLeaf, destroyedBelow: number): EntryState {
  if (body !== undefined) return auditLeaf(body).equals(leaf) ? 'kept' : 'changed';
  return index < destroyedBelow ? 'destroyed' : 'missing';
}
