import { describe, expect, it } from 'vitest';
import type { GalleryReply } from '#contracts/gallery-query.js';
import type { GalleryCandidate } from '#domain/gallery.js';
import { imageId, modelId, offset, subjectId } from '#domain/ids.js';
import { judge, SUPPRESSED_WITHIN_MS, type Question } from './answer-check.js';
import { GalleryOracle, scoreOf } from './gallery-oracle.js';

const PROBE = Float32Array.of(1, 0, 0, 0);
const NEAR = Float32Array.of(0.8, 0.6, 0, 0);
const FAR = Float32Array.of(0, 1, 0, 0);
const NOW = 1_000_000;
const QUESTION: Question = {
  queryId: 'q',
  probe: PROBE,
  k: 10,
  mode: 'exact',
  force: undefined,
  sentAtMs: NOW,
};

function enrol(oracle: GalleryOracle, name: string, sourceOffset: number, logOffset: number, vector = NEAR): void {
  const metadata = { imageId: imageId(name), subjectId: subjectId(`${name}-subject`), force: 'force' };
  oracle.templateAcked(0, { metadata, sourceOffset, vector, logOffset, ackedAtMs: NOW });
  oracle.recordWritten({ imageId: name, partition: 0, logOffset, sourceOffset });
}

function suppress(oracle: GalleryOracle, name: string, erasedThrough: number, ackedMsAgo: number): void {
  const atMs = NOW - ackedMsAgo;
  oracle.suppressionSent(name, 0, { erasedThrough, restricted: false }, atMs)(atMs);
}

function candidate(name: string, sourceOffset: number, vector = NEAR): GalleryCandidate {
  return {
    imageId: imageId(name),
    subjectId: subjectId(`${name}-subject`),
    force: 'force',
    score: scoreOf(PROBE, vector),
    sourceOffset: offset(sourceOffset),
  };
}

function reply(watermark: number, candidates: GalleryCandidate[], enrolled = candidates.length): GalleryReply {
  return {
    queryId: 'q',
    modelId: modelId('0123456789abcdef'),
    replicaId: 'whole/0',
    mode: 'exact',
    engineMs: 1,
    coverage: [{ partition: 0, watermark: offset(watermark), enrolled, behindMs: 0, unusable: 0 }],
    candidates,
  };
}

/** As `kind about` for each finding. */
function findings(oracle: GalleryOracle, given: GalleryReply, startedAtMs = 0): string[] {
  return judge(oracle, QUESTION, given, startedAtMs, NOW + 5).findings.map(({ kind, about }) => `${kind} ${about}`);
}

describe('the comparison with the oracle', () => {
  it('finds nothing in an answer that is right to the last bit', () => {
    const oracle = new GalleryOracle();
    enrol(oracle, 'a', 1, 10);
    enrol(oracle, 'b', 2, 11, FAR);
    expect(findings(oracle, reply(12, [candidate('a', 1), candidate('b', 2, FAR)]))).toEqual([]);
  });

  it('finds an enrolment that is lost, in the candidates and in the count', () => {
    const oracle = new GalleryOracle();
    enrol(oracle, 'a', 1, 10);
    enrol(oracle, 'b', 2, 11, FAR);
    expect(findings(oracle, reply(12, [candidate('a', 1)]))).toEqual(['lost whole/0 partition 0', 'lost whole/0 b']);
  });

  it('expects no enrolment beyond what the answer has read', () => {
    const oracle = new GalleryOracle();
    enrol(oracle, 'a', 1, 10);
    enrol(oracle, 'b', 2, 11, FAR);
    expect(findings(oracle, reply(11, [candidate('a', 1)]))).toEqual([]);
  });

  it('finds an erased image that is back, and expects one that was enrolled again', () => {
    const oracle = new GalleryOracle();
    enrol(oracle, 'a', 1, 10);
    suppress(oracle, 'a', 5, SUPPRESSED_WITHIN_MS + 1);
    expect(findings(oracle, reply(11, [candidate('a', 1)], 0))).toEqual(['resurrected whole/0 a']);
    enrol(oracle, 'a', 6, 12);
    expect(findings(oracle, reply(13, [candidate('a', 6)]))).toEqual([]);
    expect(findings(oracle, reply(13, []))).toEqual(['lost whole/0 partition 0', 'lost whole/0 a']);
  });

  it('lets a disposition take its time, unless the process has begun after it', () => {
    const oracle = new GalleryOracle();
    enrol(oracle, 'a', 1, 10);
    suppress(oracle, 'a', 5, 100);
    expect(findings(oracle, reply(11, [candidate('a', 1)]))).toEqual([]);
    expect(findings(oracle, reply(11, []))).toEqual([]);
    expect(findings(oracle, reply(11, [candidate('a', 1)], 0), NOW - 50)).toEqual(['resurrected whole/0 a']);
  });

  it('finds an older template, a score that differs in its last bit, and a wrong order', () => {
    const oracle = new GalleryOracle();
    enrol(oracle, 'a', 1, 10);
    enrol(oracle, 'a', 2, 11);
    enrol(oracle, 'b', 3, 12, FAR);
    const [a, b] = [candidate('a', 2), candidate('b', 3, FAR)];
    expect(findings(oracle, reply(13, [candidate('a', 1), b]))).toContain('mismatch whole/0 a');
    const lastBit = { ...a, score: a.score + Number.EPSILON / 2 };
    expect(lastBit.score).not.toBe(a.score);
    expect(findings(oracle, reply(13, [lastBit, b]))).toEqual(['mismatch whole/0 a']);
    expect(findings(oracle, reply(13, [b, a]))).toEqual(['mismatch whole/0 order']);
  });

  it('takes a late template for what it is: one that may be seen until the right one is put back, and no longer', () => {
    const oracle = new GalleryOracle();
    enrol(oracle, 'a', 2, 10);
    enrol(oracle, 'a', 1, 11);
    expect(findings(oracle, reply(12, [candidate('a', 1)]))).toEqual([]);
    expect(oracle.overwritten()).toEqual(['a']);
    oracle.recordWritten({ imageId: 'a', partition: 0, logOffset: 12, sourceOffset: 2 });
    expect(findings(oracle, reply(13, [candidate('a', 1)]))).toEqual(['mismatch whole/0 a']);
    expect(oracle.overwritten()).toEqual([]);
  });
});
