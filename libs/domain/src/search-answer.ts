/** The answer to a search, as it is given over HTTP and written into `searches.events.v1`. */
import type { FaceBox, UprightPicture } from './face.js';
import type { QualityReport } from './face-quality.js';
import type { GalleryCandidate, UsedMode } from './gallery.js';
import type { ImageId, ModelId, Offset, SearchId, SubjectId } from './ids.js';

export type SearchKind = 'operator' | 'retrospective';

export interface Candidate {
  /** 1 for the most similar. */
  readonly rank: number;
  readonly score: number;
  readonly aboveThreshold: boolean;
  readonly subjectId: SubjectId;
  readonly imageId: ImageId;
  readonly force: string | null;
  readonly custodyReference: string | null;
  readonly capturedAt: string | null;
}

/** As it is put on record: with what decides later whether it may still be shown. */
export interface FoundCandidate extends Candidate {
  /** The `custody.images` record that the template came from. Inclusive. */
  readonly sourceOffset: Offset;
}

export interface ProbeReport {
  readonly quality: QualityReport;
  /** Of the upright picture. */
  readonly faceBox: FaceBox;
  readonly facesFound: number;
  /**
   * Clockwise degrees by which the picture was turned, after what EXIF says, so as to be upright. Absent from answers of a
   * time when pictures were not judged.
   */
  readonly rotation?: UprightPicture['rotation'];
}

export interface GalleryReport {
  readonly modelId: ModelId;
  readonly enrolled: number;
  /** Per template partition, exclusive: the lowest offset below which every record was taken into account. */
  readonly watermark: Readonly<Record<string, number>>;
  readonly partitionsAnswered: number;
  readonly partitionsTotal: number;
  /** Partitions of which no part was searched. Empty when the answer is complete. */
  readonly partitionsMissing: readonly number[];
  /** Partitions answered only by a replica that was more than the freshness bound behind. */
  readonly partitionsStale: readonly number[];
  /** Partitions with images that could not be searched, as their templates cannot be used. Empty when the answer is complete. */
  readonly partitionsIncomplete: readonly number[];
  /** How many such images. */
  readonly unusable: number;
}

/** What two people have decided in place of an approved evaluation, as every answer under it shows. */
export interface ModelOverrideNotice {
  readonly decisionId: string;
  /** Who asked for it, and who approved it. */
  readonly by: readonly [string, string];
  /** ISO 8601. */
  readonly since: string;
  readonly reason: string;
}

export interface AppliedThreshold {
  readonly version: number;
  readonly score: number;
  /** Whether the score was measured at a gallery of this size. */
  readonly evaluated: boolean;
  readonly override?: ModelOverrideNotice;
}

export interface SearchAnswer<Shown = Candidate> {
  readonly searchId: SearchId;
  readonly kind: SearchKind;
  /** ISO 8601. */
  readonly completedAt: string;
  /** False when a part of the gallery was not searched: then "not found" means less than it says. */
  readonly complete: boolean;
  readonly gallery: GalleryReport;
  readonly mode: UsedMode;
  readonly threshold: AppliedThreshold;
  readonly probe: ProbeReport;
  readonly candidates: readonly Shown[];
}

/** The answer as it is put on record. */
export type FoundAnswer = SearchAnswer<FoundCandidate>;

/** A candidate whose image was erased, restricted or retired since: its rank is kept, nothing else. */
export interface WithdrawnCandidate {
  readonly rank: number;
  readonly withdrawn: true;
}

export type ShownAnswer = SearchAnswer<Candidate | WithdrawnCandidate>;

/** The answer as people are shown it. */
export function shownAnswer(answer: FoundAnswer, isWithdrawn: (candidate: FoundCandidate) => boolean): ShownAnswer {
  return {
    ...answer,
    candidates: answer.candidates.map((candidate) => {
      if (isWithdrawn(candidate)) return { rank: candidate.rank, withdrawn: true as const };
      const { sourceOffset: _inside, ...shown } = candidate;
      return shown;
    }),
  };
}

/** Ranks candidates that are sorted best first. */
export function rankCandidates(sorted: readonly GalleryCandidate[], thresholdScore: number): readonly FoundCandidate[] {
  return sorted.map((candidate, index) => ({
    rank: index + 1,
    score: candidate.score,
    aboveThreshold: candidate.score >= thresholdScore,
    subjectId: candidate.subjectId,
    imageId: candidate.imageId,
    force: candidate.force ?? null,
    custodyReference: candidate.custodyReference ?? null,
    capturedAt: candidate.capturedAt ?? null,
    sourceOffset: candidate.sourceOffset,
  }));
}
