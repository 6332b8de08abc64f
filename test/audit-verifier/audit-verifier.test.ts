/**
 * Checkpoints and proofs, judged by a verifier that shares no code with what made them: Go's `sumdb/note` and
 * `sumdb/tlog`.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { signCheckpoint, type SignedCheckpoint } from '#audit/checkpoint.js';
import { consistencyProof, inclusionProof, leafHash, MerkleFrontier, type NodeReader } from '#audit/merkle-tree.js';
import { makeSignerKey, NoteSigner } from '#audit/signed-note.js';

interface Claim {
  readonly name: string;
  readonly checkpoint: string;
  readonly earlier?: string;
  readonly index?: number;
  readonly leaf?: string;
  readonly proof?: readonly string[];
}

const SIZES = [1, 2, 3, 7, 8, 33, 64, 65];
const BUILD_TIMEOUT_MS = 240_000;

const { signerKey, verifierKey } = makeSignerKey('example.org/custody-face-search/audit');
const signer = NoteSigner.parse(signerKey)!;
const leaves = Array.from({ length: Math.max(...SIZES) }, (_, i) => createHash('sha256').update(`entry ${i}`).digest());
const { checkpoints, nodeAt } = grow(leaves);
const base64 = (hash: Buffer): string => hash.toString('base64');

function grow(all: readonly Buffer[]): { checkpoints: Map<number, SignedCheckpoint>; nodeAt: NodeReader } {
  const nodes = new Map<string, Buffer>();
  const frontier = new MerkleFrontier();
  const signed = new Map<number, SignedCheckpoint>();
  for (const [i, leaf] of all.entries()) {
    nodes.set(`0/${i}`, leafHash(leaf));
    for (const { level, index, hash } of frontier.append(leafHash(leaf))) nodes.set(`${level}/${index}`, hash);
    if (SIZES.includes(frontier.size))
      signed.set(frontier.size, signCheckpoint(signer, frontier.size, frontier.root()));
  }
  return { checkpoints: signed, nodeAt: (level, index) => nodes.get(`${level}/${index}`)! };
}

function inclusions(): Claim[] {
  return SIZES.flatMap((size) =>
    leaves.slice(0, size).map((leaf, index) => ({
      name: `leaf ${index} in ${size}`,
      checkpoint: checkpoints.get(size)!.note,
      index,
      leaf: base64(leaf),
      proof: inclusionProof(index, size, nodeAt).map(base64),
    })),
  );
}

function growths(): Claim[] {
  return SIZES.flatMap((to) =>
    SIZES.filter((from) => from <= to).map((from) => ({
      name: `${from} to ${to}`,
      checkpoint: checkpoints.get(to)!.note,
      earlier: checkpoints.get(from)!.note,
      proof: consistencyProof(from, to, nodeAt).map(base64),
    })),
  );
}

/** One byte of what is hashed, and of what is signed, is another. */
function tampered(claims: readonly Claim[]): Claim[] {
  return claims.flatMap((claim) => {
    const { name, proof = [], leaf, index, checkpoint } = claim;
    const others: Claim[] = [
      { ...claim, name: `${name}, another root`, checkpoint: checkpoint.replace(/^(.*\n\d+\n)./, '$1!') },
      { ...claim, name: `${name}, another size`, checkpoint: checkpoint.replace(/\n(\d+)\n/, '\n1$1\n') },
      { ...claim, name: `${name}, a hash too many`, proof: [...proof, base64(leafHash(Buffer.from('more')))] },
    ];
    if (leaf !== undefined) {
      others.push({ ...claim, name: `${name}, another leaf`, leaf: base64(flipped(leaf)) });
      others.push({ ...claim, name: `${name}, another place`, index: index! + 1 });
    }
    for (const [i, hash] of proof.entries()) {
      others.push({ ...claim, name: `${name}, another hash ${i}`, proof: proof.with(i, base64(flipped(hash))) });
      others.push({ ...claim, name: `${name}, without hash ${i}`, proof: proof.toSpliced(i, 1) });
    }
    return others;
  });
}

function flipped(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  bytes[0]! ^= 1;
  return bytes;
}

/** Where Go is put when it does not come from the system. */
const { PATH: ofSystem = '' } = process.env;
const PATH = [ofSystem, '/usr/local/go/bin'].join(delimiter);

function go(
  args: readonly string[],
  input = '',
): { readonly ok: boolean; readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr, error } = spawnSync('go', [...args], {
    cwd: import.meta.dirname,
    env: { ...process.env, PATH },
    input,
    encoding: 'utf8',
    timeout: BUILD_TIMEOUT_MS,
    maxBuffer: 64 * 1024 * 1024,
  });
  return { ok: status === 0, stdout: stdout ?? '', stderr: stderr || String(error ?? '') };
}

/** Why it cannot be run here, or undefined. */
function missing(): string | undefined {
  if (!PATH.split(delimiter).some((folder) => existsSync(join(folder, 'go')))) return 'Go is not installed';
  const { ok, stderr } = go(['mod', 'download']);
  return ok ? undefined : `golang.org/x/mod cannot be fetched: ${stderr.trim().split('\n').at(-1)}`;
}

const why = missing();
if (why !== undefined) process.stderr.write(`The independent verifier is skipped: ${why}.\n`);

describe.skipIf(why !== undefined)('a verifier of Go’s own libraries', { timeout: BUILD_TIMEOUT_MS }, () => {
  function verdicts(claims: readonly Claim[]): { name: string; holds: boolean; why: string }[] {
    const { ok, stdout, stderr } = go(['run', '.'], JSON.stringify({ verifierKey, claims }));
    if (!ok) throw new Error(stderr);
    const answers = JSON.parse(stdout) as { name: string; holds: boolean; why: string }[];
    expect(answers).toHaveLength(claims.length);
    return answers;
  }

  it('accepts every checkpoint, every inclusion and every growth', () => {
    const alone = SIZES.map((size) => ({ name: `checkpoint ${size}`, checkpoint: checkpoints.get(size)!.note }));
    expect(verdicts([...alone, ...inclusions(), ...growths()]).filter(({ holds }) => !holds)).toEqual([]);
  });

  it('accepts none of them when a byte, a place, a size or a hash is another', () => {
    const claims = tampered([...inclusions(), ...growths().filter(({ proof }) => proof!.length > 0)]);
    expect(claims.length).toBeGreaterThan(2_000);
    expect(verdicts(claims).filter(({ holds }) => holds)).toEqual([]);
  });
});
