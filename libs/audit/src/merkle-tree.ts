/**
 * The Merkle tree of RFC 9162, section 2.1: what makes a list of leaves provable by one hash.
 *
 * A leaf's hash is SHA-256(0x00 || leaf), a node's is SHA-256(0x01 || left || right), and the root of an empty tree is
 * SHA-256 of nothing. Everything here works on the hashes of *complete* subtrees, which never change once they are there:
 * level 0 are the leaves' hashes, node i of level l covers the leaves i·2^l to (i+1)·2^l - 1. Sizes and indices are whole
 * numbers below 2^53.
 */
import { createHash } from 'node:crypto';

/** Hash of a complete subtree, 32 bytes. */
export type NodeReader = (level: number, index: number) => Buffer;

export interface MerkleNode {
  readonly level: number;
  readonly index: number;
  readonly hash: Buffer;
}

export const HASH_SIZE_BYTES = 32;
const LEAF_PREFIX = Buffer.from([0]);
const NODE_PREFIX = Buffer.from([1]);
const EMPTY_ROOT = createHash('sha256').digest();

export function leafHash(leaf: Buffer): Buffer {
  return createHash('sha256').update(LEAF_PREFIX).update(leaf).digest();
}

function nodeHash(left: Buffer, right: Buffer): Buffer {
  return createHash('sha256').update(NODE_PREFIX).update(left).update(right).digest();
}

/** Grows a tree leaf by leaf, and holds no more than the roots of its complete subtrees, one a level at most. */
export class MerkleFrontier {
  /** By level; undefined where the size has no bit. */
  private readonly peaks: (Buffer | undefined)[] = [];
  private leaves = 0;

  /** A tree that was grown before. */
  static at(size: number, nodeAt: NodeReader): MerkleFrontier {
    const frontier = new MerkleFrontier();
    for (let level = 0; 2 ** level <= size; level++) {
      const nodes = Math.floor(size / 2 ** level);
      frontier.peaks[level] = nodes % 2 === 1 ? nodeAt(level, nodes - 1) : undefined;
    }
    frontier.leaves = size;
    return frontier;
  }

  get size(): number {
    return this.leaves;
  }

  /** @returns the nodes above the leaf that it completes, lowest first */
  append(hash: Buffer): MerkleNode[] {
    const completed: MerkleNode[] = [];
    let carried = hash;
    let level = 0;
    for (let index = this.leaves; index % 2 === 1; index = Math.floor(index / 2)) {
      carried = nodeHash(this.peaks[level]!, carried);
      this.peaks[level] = undefined;
      level++;
      completed.push({ level, index: Math.floor(index / 2), hash: carried });
    }
    this.peaks[level] = carried;
    this.leaves++;
    return completed;
  }

  root(): Buffer {
    let root: Buffer | undefined;
    for (const peak of this.peaks) {
      if (peak !== undefined) root = root === undefined ? peak : nodeHash(peak, root);
    }
    return root ?? EMPTY_ROOT;
  }
}

/** @param size at most the size of the tree that `nodeAt` reads */
export function rootAt(size: number, nodeAt: NodeReader): Buffer {
  return size === 0 ? EMPTY_ROOT : rangeHash(0, size, nodeAt);
}

/**
 * RFC 9162, section 2.1.3.1: that leaf `index` is in the tree of `size` leaves.
 *
 * @throws RangeError unless 0 <= index < size
 */
export function inclusionProof(index: number, size: number, nodeAt: NodeReader): Buffer[] {
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new RangeError(`no leaf ${index} in a tree of ${size}`);
  }
  const proof: Buffer[] = [];
  let from = 0;
  let to = size;
  while (to - from > 1) {
    const middle = from + splitOf(to - from);
    if (index < middle) {
      proof.push(rangeHash(middle, to, nodeAt));
      to = middle;
    } else {
      proof.push(rangeHash(from, middle, nodeAt));
      from = middle;
    }
  }
  return proof.reverse();
}

/**
 * RFC 9162, section 2.1.4.1: that the tree of `second` leaves begins with the tree of `first` leaves.
 *
 * @throws RangeError unless 0 < first <= second
 */
export function consistencyProof(first: number, second: number, nodeAt: NodeReader): Buffer[] {
  if (!Number.isSafeInteger(first) || first <= 0 || first > second) {
    throw new RangeError(`no tree of ${first} leaves in one of ${second}`);
  }
  const proof: Buffer[] = [];
  let from = 0;
  let to = second;
  while (first < to) {
    const middle = from + splitOf(to - from);
    if (first <= middle) {
      proof.push(rangeHash(middle, to, nodeAt));
      to = middle;
    } else {
      proof.push(rangeHash(from, middle, nodeAt));
      from = middle;
    }
  }
  // What is left is a subtree of the first tree itself, which the verifier has when it is that tree.
  if (from > 0) proof.push(rangeHash(from, to, nodeAt));
  return proof.reverse();
}

/** RFC 9162, section 2.1.3.2. @param hash of the leaf, with its prefix */
export function verifyInclusion(
  hash: Buffer,
  index: number,
  size: number,
  proof: readonly Buffer[],
  root: Buffer,
): boolean {
  if (index < 0 || index >= size) return false;
  let [at, last] = [index, size - 1];
  let running = hash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      running = nodeHash(sibling, running);
      while (at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)];
    } else {
      running = nodeHash(running, sibling);
    }
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && running.equals(root);
}

/** RFC 9162, section 2.1.4.2. */
export function verifyConsistency(
  first: number,
  second: number,
  proof: readonly Buffer[],
  firstRoot: Buffer,
  secondRoot: Buffer,
): boolean {
  if (first <= 0 || first > second) return false;
  if (first === second) return proof.length === 0 && firstRoot.equals(secondRoot);
  const isPowerOfTwo = 2 ** Math.round(Math.log2(first)) === first;
  const path = isPowerOfTwo ? [firstRoot, ...proof] : proof;
  const start = path[0];
  if (start === undefined) return false;
  let [at, last] = [first - 1, second - 1];
  while (at % 2 === 1) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  let [ofFirst, ofSecond] = [start, start];
  for (const sibling of path.slice(1)) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      ofFirst = nodeHash(sibling, ofFirst);
      ofSecond = nodeHash(sibling, ofSecond);
      while (at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)];
    } else {
      ofSecond = nodeHash(ofSecond, sibling);
    }
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && ofFirst.equals(firstRoot) && ofSecond.equals(secondRoot);
}

/** Of the leaves `from` (inclusive) to `to` (exclusive), which a split of the tree has cut out. */
function rangeHash(from: number, to: number, nodeAt: NodeReader): Buffer {
  const leaves = to - from;
  const split = splitOf(leaves);
  // `from` is a multiple of every power of two up to the range's size: the splits see to that.
  if (split * 2 === leaves || leaves === 1) {
    const level = Math.round(Math.log2(leaves));
    return nodeAt(level, from / leaves);
  }
  return nodeHash(rangeHash(from, from + split, nodeAt), rangeHash(from + split, to, nodeAt));
}

/** The largest power of two below `leaves`; 0 for a single leaf. */
function splitOf(leaves: number): number {
  if (leaves === 1) return 0;
  let split = 1;
  while (split * 2 < leaves) split *= 2;
  return split;
}
