/**
 * A checkpoint: how many leaves the audit log had, and the root of the Merkle tree over them, as a signed note in the
 * format of https://c2sp.org/tlog-checkpoint. Whoever holds one can tell later whether the log still begins so.
 */
import { HASH_SIZE_BYTES } from './merkle-tree.js';
import { openNote, type NoteSigner, type VerifierKey } from './signed-note.js';

export interface Checkpoint {
  /** Names the log; the name of the key that signs it. */
  readonly origin: string;
  /** Leaves. */
  readonly size: number;
  readonly root: Buffer;
}

export interface SignedCheckpoint extends Checkpoint {
  /** The note as it was signed. */
  readonly note: string;
}

const SIZE = /^(0|[1-9]\d{0,15})$/;

export function signCheckpoint(signer: NoteSigner, size: number, root: Buffer): SignedCheckpoint {
  const origin = signer.verifier.name;
  return { origin, size, root, note: signer.sign(`${origin}\n${size}\n${root.toString('base64')}\n`) };
}

/** @returns undefined when it is not a checkpoint that one of the keys has signed for the log of its own name */
export function openCheckpoint(note: string, keys: readonly VerifierKey[]): SignedCheckpoint | undefined {
  const opened = openNote(note, keys);
  if (opened === undefined) return undefined;
  const [origin, size, base64] = opened.text.split('\n');
  if (origin !== opened.signedBy.name || !SIZE.test(size ?? '') || base64 === undefined) return undefined;
  const root = Buffer.from(base64, 'base64');
  if (root.length !== HASH_SIZE_BYTES || root.toString('base64') !== base64) return undefined;
  return Number.isSafeInteger(Number(size)) ? { origin, size: Number(size), root, note } : undefined;
}
