/**
 * Compares one worker's reply with what the oracle says that it must hold.
 *
 * - lost: an enrolment that was acknowledged, and is not in the answer although it belongs there;
 * - resurrected: an image in the answer that is erased or restricted;
 * - mismatch: everything else, down to the last bit of a score.
 */
import { isDeepStrictEqual } from 'node:util';
import type { GalleryReply } from '#contracts/gallery-query.js';
import type { GalleryCandidate, SearchMode } from '#domain/gallery.js';
import { scoreOf, type GalleryOracle, type Reflected, type TemplateVersion } from './gallery-oracle.js';

export interface Question {
  readonly queryId: string;
  readonly probe: Float32Array;
  /** Subjects asked for. */
  readonly k: number;
  readonly mode: SearchMode;
  /** The only attribute that is filtered by; undefined: all images. */
  readonly force: string | undefined;
  readonly sentAtMs: number;
}

export interface Finding {
  readonly kind: 'lost' | 'resurrected' | 'mismatch';
  /** The worker and the image or partition: what is found again and again is one finding. */
  readonly about: string;
  readonly text: string;
}

type AddFinding = (kind: Finding['kind'], subject: string, text: string) => void;

export interface Judgement {
  readonly findings: readonly Finding[];
  /** ImageIds that the exact answer has, best first. */
  readonly expected: readonly string[];
  /** For how long, when this was asked, a disposition had been acknowledged that was not in force; 0 when there was none. */
  readonly suppressionLateMs: number;
}

/**
 * From a disposition's acknowledgement until what it forbids counts as come back. The promise is two seconds, for
 * processes that have a machine; here half a dozen start one after another on the same cores, so that it is measured
 * rather than judged: see {@link Judgement.suppressionLateMs}.
 */
export const SUPPRESSED_WITHIN_MS = 10_000;

/** @param startedAtMs of the process that answers: what was acknowledged before it began it has read at its start */
export function judge(
  oracle: GalleryOracle,
  question: Question,
  reply: GalleryReply,
  startedAtMs: number,
  receivedAtMs: number,
): Judgement {
  const reflected: Reflected = {
    watermarks: new Map(reply.coverage.map(({ partition, watermark }) => [partition, watermark])),
    dispositionsCertainMs: Math.max(startedAtMs, question.sentAtMs - SUPPRESSED_WITHIN_MS),
    receivedAtMs,
  };
  const findings: Finding[] = [];
  const add: AddFinding = (kind, subject, text) => {
    findings.push({ kind, about: `${reply.replicaId} ${subject}`, text: `${reply.mode}: ${text}` });
  };
  const addOf = (imageId: string, kind: Finding['kind'], text: string): void => {
    const watermark = reflected.watermarks.get(oracle.partitionOf(imageId) ?? -1);
    add(kind, imageId, `${text}; read to ${watermark}; ${oracle.describe(imageId)}`);
  };
  const held = new Map<string, TemplateVersion>();
  for (const candidate of reply.candidates) {
    const finding = judgeCandidate(oracle, question, candidate, reflected, held);
    if (finding !== undefined) addOf(candidate.imageId, finding.kind, finding.text);
  }
  if (question.force === undefined) checkCounts(oracle, reply, reflected, add);

  const returned = reply.candidates.map(({ imageId }) => imageId as string);
  const expected = bestOfEachSubject(oracle, question, reflected, held);
  if (reply.mode === 'exact') {
    const present = new Set(returned);
    for (const imageId of expected) if (!present.has(imageId)) addOf(imageId, 'lost', 'not in the answer');
    const wanted = new Set(expected);
    const more = returned.filter((imageId) => held.has(imageId) && !wanted.has(imageId));
    for (const imageId of more) addOf(imageId, 'mismatch', 'does not belong in the answer');
    if (findings.length === 0 && !isDeepStrictEqual(returned, expected)) add('mismatch', 'order', 'the order differs');
  } else {
    checkOrder(reply.candidates, question.k, add);
  }
  const lateMs = [...held.keys()].map((imageId) => question.sentAtMs - oracle.suppressedSinceMs(imageId));
  return { findings, expected, suppressionLateMs: Math.max(0, ...lateMs) };
}

/** Notes in `held` what the reply shows that its process holds. */
function judgeCandidate(
  oracle: GalleryOracle,
  { probe, force }: Question,
  candidate: GalleryCandidate,
  reflected: Reflected,
  held: Map<string, TemplateVersion>,
): Pick<Finding, 'kind' | 'text'> | undefined {
  const possible = oracle.possible(candidate.imageId, reflected).filter((version) => version !== undefined);
  if (possible.length === 0) {
    const partition = oracle.partitionOf(candidate.imageId);
    if (partition === undefined) return { kind: 'mismatch', text: 'was never enrolled' };
    if (!reflected.watermarks.has(partition))
      return { kind: 'mismatch', text: 'is of a partition that is not covered' };
    return { kind: 'resurrected', text: `source offset ${candidate.sourceOffset}, which may not be found` };
  }
  const version = possible.find(({ sourceOffset }) => sourceOffset === candidate.sourceOffset);
  if (version === undefined) {
    const offsets = possible.map(({ sourceOffset }) => sourceOffset).join(' or ');
    return { kind: 'mismatch', text: `source offset ${candidate.sourceOffset}, not ${offsets}` };
  }
  held.set(candidate.imageId, version);
  const { metadata, sourceOffset, vector } = version;
  const wanted = { ...metadata, score: scoreOf(probe, vector), sourceOffset };
  if (force !== undefined && metadata.force !== force) return { kind: 'mismatch', text: 'does not pass the filter' };
  if (isDeepStrictEqual(candidate, wanted)) return undefined;
  return { kind: 'mismatch', text: `${JSON.stringify(candidate)}, not ${JSON.stringify(wanted)}` };
}

/** What is not certain is left out unless the reply has it: leaving out what an answer lacks does not change it. */
function bestOfEachSubject(
  oracle: GalleryOracle,
  { probe, k, force }: Question,
  reflected: Reflected,
  held: ReadonlyMap<string, TemplateVersion>,
): readonly string[] {
  const best = new Map<string, { imageId: string; score: number }>();
  for (const imageId of oracle.imageIds(force)) {
    const possible = oracle.possible(imageId, reflected);
    const version = possible.length === 1 ? possible[0] : held.get(imageId);
    if (version === undefined) continue;
    const scored = { imageId, score: scoreOf(probe, version.vector) };
    const known = best.get(version.metadata.subjectId);
    if (known === undefined || isBefore(scored, known)) best.set(version.metadata.subjectId, scored);
  }
  return [...best.values()]
    .sort((a, b) => (isBefore(a, b) ? -1 : 1))
    .slice(0, k)
    .map(({ imageId }) => imageId);
}

function isBefore(a: { imageId: string; score: number }, b: { imageId: string; score: number }): boolean {
  return a.score > b.score || (a.score === b.score && a.imageId < b.imageId);
}

function checkCounts(oracle: GalleryOracle, reply: GalleryReply, reflected: Reflected, add: AddFinding): void {
  const certain = new Map<number, number>();
  const uncertain = new Map<number, number>();
  for (const imageId of oracle.imageIds()) {
    const possible = oracle.possible(imageId, reflected);
    if (possible.length === 1 && possible[0] === undefined) continue;
    const counts = possible.includes(undefined) ? uncertain : certain;
    const partition = oracle.partitionOf(imageId)!;
    counts.set(partition, (counts.get(partition) ?? 0) + 1);
  }
  for (const { partition, enrolled } of reply.coverage) {
    const least = certain.get(partition) ?? 0;
    const most = least + (uncertain.get(partition) ?? 0);
    const text = `counts ${enrolled} enrolled, not ${least} to ${most}`;
    if (enrolled < least) add('lost', `partition ${partition}`, text);
    if (enrolled > most) add('mismatch', `partition ${partition}`, text);
  }
}

function checkOrder(candidates: readonly GalleryCandidate[], k: number, add: AddFinding): void {
  const subjects = new Set(candidates.map(({ subjectId }) => subjectId));
  if (subjects.size !== candidates.length) add('mismatch', 'subjects', 'one is there twice');
  if (candidates.length > k) add('mismatch', 'k', `${candidates.length} candidates, not ${k}`);
  for (let i = 1; i < candidates.length; i++) {
    if (!isBefore(candidates[i - 1]!, candidates[i]!)) add('mismatch', 'order', `rank ${i + 1} comes before rank ${i}`);
  }
}
