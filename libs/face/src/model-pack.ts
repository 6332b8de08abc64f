/**
 * A model pack: the networks of the face pipeline, how they are fed, where they come from, under which licence, and at
 * which figures its errors were measured to rise. A force brings its own by writing a manifest. `modelId` is the hash of
 * whatever changes a template, so that templates of two packs can never be compared by mistake.
 *
 * On disk: `<folder>/manifest.json` beside the files that it names.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { Failure } from '#domain/errors.js';
import type { QualityLimits } from '#domain/face-quality.js';
import { modelId, type ModelId } from '#domain/ids.js';

/** Raised when the code between the networks (crop, alignment, normalising) changes what a template is. */
const PIPELINE_REVISION = 1;

export const MANIFEST_FILE = 'manifest.json';

/** Inside the pack's folder and nowhere else. */
const relativePath = z.string().regex(/^(?!\/)(?!.*(^|\/)\.\.(\/|$))[\w./@-]+$/, 'a path inside the pack');
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);

/** A package of the npm registry, of which the files are taken at their paths. */
const npmSource = z.strictObject({
  npmPackage: z.string().min(1),
  version: z.string().min(1),
  integrity: z.string().startsWith('sha512-'),
});
/** A wheel on the Python package index. */
const pypiSource = z.strictObject({
  pypiPackage: z.string().min(1),
  version: z.string().min(1),
  /** Of the wheel, for any Python and any machine. */
  sha256: sha256Hex,
});
const packSource = z.union([npmSource, pypiSource]);

const packFile = z.strictObject({
  path: relativePath,
  sha256: sha256Hex,
  sizeBytes: z.int().positive(),
  /** When it does not come from where the pack's other files do. */
  source: packSource.optional(),
});
const colour = z.enum(['RGB', 'BGR']);

/** Common to every detector. The input is (px - mean) / scale. */
const detectorInput = {
  inputWidth: z.int().positive(),
  inputHeight: z.int().positive(),
  colour,
  mean: z.number(),
  scale: z.number().positive(),
  confidenceThreshold: z.number().gt(0).lt(1),
  nmsIou: z.number().gt(0).lt(1),
};
const detectorParameters = z.discriminatedUnion('kind', [
  /** Ultra-Light-Fast-Generic, fed the picture stretched to its input, followed by a 68-point landmark network. */
  z.strictObject({ kind: z.literal('ulfg+lm68'), ...detectorInput }),
  /** YuNet, fed the picture at its own size, shrunk to fit if need be, at the top left; gives five points itself. */
  z.strictObject({ kind: z.literal('yunet'), ...detectorInput }),
]);

const limit = z.number().optional();
const qualityLimits = z.strictObject({
  eyeDistancePxMin: limit,
  embeddingNormMin: limit,
  confidenceMin: limit,
  yawDegreesMax: limit,
  pitchDegreesMax: limit,
  sharpnessMin: limit,
  luminanceMeanMin: limit,
  luminanceMeanMax: limit,
  underExposedShareMax: limit,
  overExposedShareMax: limit,
}) satisfies z.ZodType<QualityLimits>;

/** Where this pack's figures were measured to mean something. Changes no template, so it is no part of `modelId`. */
const packCalibration = z.strictObject({
  /** On which pictures, for people. */
  measuredOn: z.string().min(1),
  /**
   * What the detector takes for a face below this confidence counts as one only when its embedding's norm is high
   * enough: patterns on objects look a little like a face, and are like nobody.
   */
  uncertainFaces: z.strictObject({ confidenceBelow: z.number().gt(0).lte(1), embeddingNormMin: z.number() }).optional(),
  /**
   * A picture is upright when its largest face's norm reaches `clearNormMin`. Otherwise it is looked at in the other
   * three orientations as well, and turned when the best of those reaches `turnedNormMin` and is better by `gainMin`.
   * A face whose eyes are nearer to each other than `eyesByHeightMin` of its box's height does not count: patterns that
   * lie on their side look like one that is narrow.
   */
  orientation: z
    .strictObject({
      clearNormMin: z.number(),
      turnedNormMin: z.number(),
      gainMin: z.number().nonnegative(),
      eyesByHeightMin: z.number().nonnegative(),
    })
    .optional(),
  quality: z.strictObject({ warn: qualityLimits, refuseEnrolment: qualityLimits }),
});
export type PackCalibration = z.infer<typeof packCalibration>;

/** Of a pack that nobody has measured: nothing is judged but what geometry says of any face. */
const NOT_CALIBRATED: PackCalibration = { measuredOn: 'nothing', quality: { warn: {}, refuseEnrolment: {} } };

export const modelPackManifest = z
  .strictObject({
    name: z.string().min(1),
    version: z.string().min(1),
    licence: z.strictObject({
      spdx: z.string().min(1),
      holder: z.string().min(1),
      note: z.string(),
      /** True for a pack that must not be used on real cases. */
      evaluationOnly: z.boolean(),
    }),
    /** Absent for a pack whose files a force puts in place itself. */
    source: packSource.optional(),
    files: z.strictObject({ detector: packFile, landmarks: packFile.optional(), embedder: packFile }),
    detector: detectorParameters,
    embedder: z.strictObject({
      /** Where eyes, nose and mouth are put: the ArcFace reference points, which grow with the size. */
      template: z.literal('arcface-112'),
      size: z.int().min(32).max(1024),
      /** Planes one after the other when it is not said. */
      layout: z.enum(['NCHW', 'NHWC']).optional(),
      colour,
      mean: z.number(),
      scale: z.number().positive(),
      dimension: z.int().min(8).max(4096),
      metric: z.literal('cosine'),
    }),
    calibration: packCalibration.optional(),
  })
  .refine(({ files, detector }) => (detector.kind === 'ulfg+lm68') === (files.landmarks !== undefined), {
    path: ['files', 'landmarks'],
    message: 'ulfg+lm68 needs a landmark network, and yunet takes none',
  });

export type ModelPackManifest = z.infer<typeof modelPackManifest>;
export type PackFile = z.infer<typeof packFile>;
export type PackSource = z.infer<typeof packSource>;
export type DetectorParameters = ModelPackManifest['detector'];
export type EmbedderParameters = ModelPackManifest['embedder'];

/** A pack whose files are on this disk and have been checked against the manifest. */
export interface ModelPack {
  readonly manifest: ModelPackManifest;
  readonly modelId: ModelId;
  /** Absolute, or relative to the working directory as the folder was given. */
  readonly folder: string;
  /** Of the networks, below the folder. */
  readonly paths: Readonly<Record<'detector' | 'embedder', string>> & { readonly landmarks?: string };
}

export function calibrationOf({ manifest }: Pick<ModelPack, 'manifest'>): PackCalibration {
  return manifest.calibration ?? NOT_CALIBRATED;
}

/** The first 16 hex digits of the SHA-256 of what changes templates; names and licence texts do not. */
export function modelIdOf(manifest: ModelPackManifest): ModelId {
  const { files, detector, embedder } = manifest;
  const whatMatters = {
    pipeline: PIPELINE_REVISION,
    files: {
      detector: files.detector.sha256,
      // Undefined is left out of JSON.
      landmarks: files.landmarks?.sha256,
      embedder: files.embedder.sha256,
    },
    detector,
    embedder,
  };
  return modelId(createHash('sha256').update(canonicalJson(whatMatters)).digest('hex').slice(0, 16));
}

/** @throws Failure MODEL_PACK_FILE_MISSING, MODEL_PACK_MANIFEST_INVALID */
export async function readModelPackManifest(path: string): Promise<ModelPackManifest> {
  const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
    throw new Failure('MODEL_PACK_FILE_MISSING', 'The model pack has no readable manifest.', false, { cause: thrown });
  });
  try {
    return modelPackManifest.parse(JSON.parse(text));
  } catch (thrown) {
    const why = thrown instanceof z.ZodError ? z.prettifyError(thrown).replaceAll('\n', ' ') : 'it is not JSON';
    throw new Failure('MODEL_PACK_MANIFEST_INVALID', `The model pack's manifest is not valid: ${why}`, false, {
      cause: thrown,
    });
  }
}

/**
 * Reads a pack's manifest and checks every file against it.
 *
 * @throws Failure MODEL_PACK_FILE_MISSING, MODEL_PACK_HASH_DIFFERS (both name the file), MODEL_PACK_MANIFEST_INVALID
 */
export async function loadModelPack(folder: string): Promise<ModelPack> {
  const manifest = await readModelPackManifest(join(folder, MANIFEST_FILE));
  const { detector, landmarks, embedder } = manifest.files;
  for (const file of filesOf(manifest)) await checkFile(file, join(folder, file.path));
  const paths = {
    detector: join(folder, detector.path),
    ...(landmarks !== undefined && { landmarks: join(folder, landmarks.path) }),
    embedder: join(folder, embedder.path),
  };
  return { manifest, modelId: modelIdOf(manifest), folder, paths };
}

export function filesOf({ files }: ModelPackManifest): readonly PackFile[] {
  return Object.values(files).filter((file) => file !== undefined);
}

/** The same manifest gives the same text everywhere: tells a changed calibration from the one that is in a cache. */
export function manifestDigest(manifest: ModelPackManifest): string {
  return createHash('sha256').update(canonicalJson(manifest)).digest('hex');
}

async function checkFile(expected: PackFile, path: string): Promise<void> {
  const sizeBytes = await stat(path).then(
    (found) => found.size,
    (thrown: unknown) => {
      throw new Failure('MODEL_PACK_FILE_MISSING', `The model pack's file ${expected.path} is missing.`, false, {
        cause: thrown,
      });
    },
  );
  if (sizeBytes !== expected.sizeBytes || (await sha256OfFile(path)) !== expected.sha256) {
    throw new Failure(
      'MODEL_PACK_HASH_DIFFERS',
      `The model pack's file ${expected.path} is not the one that its manifest describes: delete it and fetch it again.`,
      false,
    );
  }
}

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Keys sorted at every level, no white space: the same value gives the same text everywhere. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
