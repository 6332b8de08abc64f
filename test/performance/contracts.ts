/** What it costs to hold records against their schemas, in microseconds of CPU, beside reading or writing them unchecked. */
import { custodyImageHeaders, parseCustodyImage } from '#contracts/custody-image.js';
import { encodeGalleryReply, parseGalleryReply, type GalleryReply } from '#contracts/gallery-query.js';
import { encodeOutcome, parseOutcome } from '#contracts/outcome-record.js';
import { parseSearchEvent, searchEventRecord, type SearchEvent } from '#contracts/search-record.js';
import { parseTemplateRecord, templateHeaders } from '#contracts/template-record.js';
import type { ImageId, ModelId, Offset, SearchId, SubjectId } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { FoundAnswer } from '#domain/search-answer.js';
import { cpuTimed, figure, median, ratioAtMost, type BenchResult, type Figure } from './measure.js';

const CALLS = 20_000;
const ROUNDS = 7;
const CANDIDATES = 20;
/** Of CPU, for an image from its record to its outcome: `bench -- enrol` and docs/ARCHITECTURE.md, Measured. */
const IMAGE_US = 27_000;
/** Headers read, outcome and two audit entries written, headers of the template read by the index and the register. */
const SHARE_OF_IMAGE_MAX = 0.01;

const id = 'img-0000001' as ImageId;
const modelId = '00112233aabbccdd' as ModelId;
const searchId = '0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f' as SearchId;
const at = '2026-01-02T03:04:05.678Z';
const faceBox = { left: 10, top: 20, right: 110, bottom: 150 };
const about = { subjectId: 'subject-1' as SubjectId, force: 'gwent', custodyReference: 'GW/26/1', capturedAt: at };

const imageHeaders = custodyImageHeaders({ imageId: id, ...about, sex: 'male', face: 0 }, '/custody', 'image/jpeg');
const templateOf = templateHeaders(
  {
    modelId,
    metadata: { imageId: id, ...about, faceBox, embeddingNorm: 3.2 },
    source: { sourceOffset: 7 as Offset, acceptedAtMs: 1_700_000_000_000 },
  },
  '/ingest',
);
const outcome: ImageOutcome = {
  ...{ imageId: id, at, source: { partition: 3, offset: 7 as Offset }, outcome: 'enrolled', modelId },
  ...{ template: { partition: 3, offset: 9 as Offset }, faceBox, facesFound: 1, embeddingNorm: 3.2, warnings: [] },
};
const reply: GalleryReply = {
  ...{ queryId: searchId, modelId, replicaId: 'index-0/0', mode: 'exact', engineMs: 1.25 },
  coverage: Array.from({ length: 12 }, (_, partition) => ({
    ...{ partition, watermark: 1000 as Offset, enrolled: 400, unusable: 0, behindMs: 0 },
  })),
  candidates: Array.from({ length: CANDIDATES }, (_, i) => ({
    ...{ imageId: `img-${i}` as ImageId, ...about, score: 0.9 - i / 100, sourceOffset: i as Offset, faceBox },
  })),
};
const answer: FoundAnswer = {
  ...{ searchId, kind: 'retrospective', completedAt: at, complete: true, mode: 'exact' },
  gallery: {
    ...{
      modelId,
      enrolled: 9,
      watermark: { 0: 7 },
      partitionsAnswered: 24,
      partitionsTotal: 24,
      partitionsMissing: [],
    },
    ...{ partitionsStale: [], partitionsIncomplete: [], unusable: 0 },
  },
  threshold: { version: 1, score: 0.5, evaluated: true },
  probe: {
    quality: { eyeDistancePx: 60, embeddingNorm: 3.2, detectionConfidence: 0.99, warnings: [] },
    ...{ faceBox, facesFound: 1 },
  },
  candidates: reply.candidates.map(({ imageId, score, sourceOffset }, i) => ({
    ...{ rank: i + 1, score, aboveThreshold: true, imageId, ...about, sourceOffset },
  })),
};
const event: SearchEvent = { type: 'CANDIDATES_FOUND', searchId, version: 3, at, by: '/query', answer };
const eventBytes = searchEventRecord(event, '/query').value as Buffer;
const key = Buffer.from(id);

const json = (bytes: Buffer) => (): unknown => JSON.parse(bytes.toString('utf8'));
const bytes = (value: unknown) => (): unknown => Buffer.from(JSON.stringify(value));

/** Checked, and unchecked where there is something to do without. */
const CASES: Readonly<Record<string, readonly [() => unknown, (() => unknown)?]>> = {
  'headers of an image, read': [() => parseCustodyImage(id, imageHeaders)],
  'headers of a template, read': [() => parseTemplateRecord(key, templateOf)],
  'outcome, written': [() => encodeOutcome(outcome), bytes(outcome)],
  'outcome, read': [() => parseOutcome(encodedOutcome), json(encodeOutcome(outcome))],
  'reply of 20 candidates, written': [() => encodeGalleryReply(reply), bytes(reply)],
  'reply of 20 candidates, read': [() => parseGalleryReply(encodedReply), json(encodeGalleryReply(reply))],
  'event of 20 candidates, read': [() => parseSearchEvent(eventBytes), json(eventBytes)],
};
const encodedOutcome = encodeOutcome(outcome);
const encodedReply = encodeGalleryReply(reply);

export async function benchContracts(): Promise<BenchResult> {
  const figures: Figure[] = [];
  const addedUs = new Map<string, number>();
  for (const [name, [checked, unchecked]] of Object.entries(CASES)) {
    const rounds: { with: number; without: number }[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      const one = { with: await callUs(checked), without: unchecked === undefined ? 0 : await callUs(unchecked) };
      // The first is for the compiler.
      if (round > 0) rounds.push(one);
    }
    const added = rounds.map((round) => round.with - round.without);
    figures.push(
      figure(
        `${name}, checks included`,
        'µs CPU',
        rounds.map((round) => round.with),
      ),
    );
    figures.push(figure(`${name}, of that for the checks`, 'µs CPU', added));
    addedUs.set(name, median(added));
  }
  const image =
    addedUs.get('headers of an image, read')! +
    2 * addedUs.get('headers of a template, read')! +
    3 * addedUs.get('outcome, written')!;
  const ratios = [ratioAtMost('checks of an image / all that an image costs', image / IMAGE_US, SHARE_OF_IMAGE_MAX)];
  return { figures, ratios };
}

async function callUs(call: () => unknown): Promise<number> {
  const ms = await cpuTimed(() => {
    for (let i = 0; i < CALLS; i++) call();
  });
  return (ms * 1000) / CALLS;
}
