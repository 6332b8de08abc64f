import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  consistencyProof,
  inclusionProof,
  leafHash,
  MerkleFrontier,
  rootAt,
  verifyConsistency,
  verifyInclusion,
  type NodeReader,
} from './merkle-tree.js';

/** The leaves of the tests of Certificate Transparency's reference implementation, hexadecimal. */
const LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map(
  (hex) => Buffer.from(hex, 'hex'),
);
/** Its roots, for the first leaf, the first two, and so on. */
const ROOTS = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
/** And its proofs: index, size, path; then first, second, path. */
const INCLUSION: readonly (readonly [number, number, readonly string[]])[] = [
  [0, 1, []],
  [
    0,
    8,
    [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  ],
  [
    5,
    8,
    [
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
  [2, 3, ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125']],
  [
    1,
    5,
    [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  ],
];
const CONSISTENCY: readonly (readonly [number, number, readonly string[]])[] = [
  [1, 1, []],
  [
    1,
    8,
    [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  ],
  [
    6,
    8,
    [
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
  [
    2,
    5,
    [
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  ],
];

interface Grown {
  readonly nodeAt: NodeReader;
  readonly roots: readonly Buffer[];
}

/** A tree grown leaf by leaf, with each node that was ever completed, and the root after each leaf. */
function grow(leaves: readonly Buffer[]): Grown {
  const nodes = new Map<string, Buffer>();
  const frontier = new MerkleFrontier();
  const roots = [frontier.root()];
  for (const [i, leaf] of leaves.entries()) {
    const hash = leafHash(leaf);
    nodes.set(`0/${i}`, hash);
    for (const node of frontier.append(hash)) nodes.set(`${node.level}/${node.index}`, node.hash);
    roots.push(frontier.root());
  }
  return {
    roots,
    nodeAt: (level, index) => {
      const node = nodes.get(`${level}/${index}`);
      if (node === undefined) throw new RangeError(`node ${level}/${index} was never completed`);
      return node;
    },
  };
}

/** The definition of RFC 9162, section 2.1.1, word for word. */
function plainRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return createHash('sha256').digest();
  if (leaves.length === 1) return leafHash(leaves[0]!);
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return createHash('sha256')
    .update(Buffer.from([1]))
    .update(plainRoot(leaves.slice(0, k)))
    .update(plainRoot(leaves.slice(k)))
    .digest();
}

const numbered = (count: number): Buffer[] => Array.from({ length: count }, (_, i) => Buffer.from(`leaf ${i}`));
const hex = (hashes: readonly Buffer[]): string[] => hashes.map((hash) => hash.toString('hex'));
const SIZE_MAX = 70;

describe('the Merkle tree', () => {
  it('has the roots of Certificate Transparency’s reference tests', () => {
    expect(hex(grow(LEAVES).roots.slice(1))).toEqual(ROOTS);
    expect(grow([]).roots[0]!.toString('hex')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  it.each(INCLUSION)('proves that leaf %i is in the tree of %i as they do', (index, size, proof) => {
    expect(hex(inclusionProof(index, size, grow(LEAVES).nodeAt))).toEqual(proof);
  });

  it.each(CONSISTENCY)('proves that the tree of %i grew into that of %i as they do', (first, second, proof) => {
    expect(hex(consistencyProof(first, second, grow(LEAVES).nodeAt))).toEqual(proof);
  });

  it('has the root that the definition gives at every size, grown, restored or read from its nodes', () => {
    const leaves = numbered(SIZE_MAX);
    const { nodeAt, roots } = grow(leaves);
    for (let size = 0; size <= SIZE_MAX; size++) {
      const expected = plainRoot(leaves.slice(0, size));
      expect(roots[size]).toEqual(expected);
      expect(rootAt(size, nodeAt)).toEqual(expected);
      expect(MerkleFrontier.at(size, nodeAt).root()).toEqual(expected);
    }
  });

  it('goes on after it was restored as if it had never ended', () => {
    const { nodeAt, roots } = grow(numbered(SIZE_MAX));
    for (let size = 0; size < SIZE_MAX; size++) {
      const frontier = MerkleFrontier.at(size, nodeAt);
      frontier.append(leafHash(Buffer.from(`leaf ${size}`)));
      expect(frontier.size).toBe(size + 1);
      expect(frontier.root()).toEqual(roots[size + 1]);
    }
  });

  it('proves every leaf in every tree, and no other leaf, place, size or root', () => {
    const leaves = numbered(20);
    const { nodeAt, roots } = grow(leaves);
    for (let size = 1; size <= leaves.length; size++) {
      for (let index = 0; index < size; index++) {
        const proof = inclusionProof(index, size, nodeAt);
        const holds = (leaf: Buffer, i: number, n: number, path: readonly Buffer[], root: Buffer): boolean =>
          verifyInclusion(leafHash(leaf), i, n, path, root);
        expect(holds(leaves[index]!, index, size, proof, roots[size]!)).toBe(true);
        expect(holds(Buffer.from('another'), index, size, proof, roots[size]!)).toBe(false);
        expect(holds(leaves[index]!, index, size, proof, roots[size - 1]!)).toBe(false);
        expect(holds(leaves[index]!, index, size, [...proof, roots[0]!], roots[size]!)).toBe(false);
        if (proof.length > 0) expect(holds(leaves[index]!, index, size, proof.slice(1), roots[size]!)).toBe(false);
        for (let other = 0; other < size; other++) {
          if (other !== index) expect(holds(leaves[index]!, other, size, proof, roots[size]!)).toBe(false);
        }
      }
    }
  });

  it('proves every growth, and no other history', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: SIZE_MAX }), fc.nat(), fc.nat(), (second, a, b) => {
        const leaves = numbered(second);
        const { nodeAt, roots } = grow(leaves);
        const first = 1 + (a % second);
        const proof = consistencyProof(first, second, nodeAt);
        expect(verifyConsistency(first, second, proof, roots[first]!, roots[second]!)).toBe(true);
        // One leaf of the first tree is another: its root is another, and so are most of the proof's nodes.
        const changed = leaves.with(b % first, Buffer.from('another'));
        const forged = grow(changed);
        expect(verifyConsistency(first, second, proof, forged.roots[first]!, roots[second]!)).toBe(false);
        const itsProof = consistencyProof(first, second, forged.nodeAt);
        expect(verifyConsistency(first, second, itsProof, roots[first]!, forged.roots[second]!)).toBe(false);
        if (first < second) expect(verifyConsistency(first, second, [], roots[first]!, roots[second]!)).toBe(false);
        for (let i = 0; i < proof.length; i++) {
          const without = proof.toSpliced(i, 1);
          expect(verifyConsistency(first, second, without, roots[first]!, roots[second]!)).toBe(false);
        }
      }),
    );
  });

  it('refuses to prove what is not there', () => {
    const { nodeAt } = grow(LEAVES);
    for (const index of [-1, 8, 0.5]) expect(() => inclusionProof(index, 8, nodeAt)).toThrow(RangeError);
    for (const first of [0, 9, 1.5]) expect(() => consistencyProof(first, 8, nodeAt)).toThrow(RangeError);
  });
});
