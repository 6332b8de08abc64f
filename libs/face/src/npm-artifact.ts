/**
 * Files out of a package on the npm registry, without making it a dependency: the tarball is fetched with the npm
 * client (so a force's own registry, proxy and credentials apply), checked against a pinned SHA-512, and only the named
 * files are taken out, each checked against its SHA-256. Nothing of the package is ever run.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar';
import { Failure } from '#domain/errors.js';

/** 40 MB over a slow line; longer means that the registry does not answer. */
const NPM_TIME_LIMIT_MS = 3 * 60_000;
/** `npm pack --json` lists every file of the package. */
const NPM_OUTPUT_SIZE_BYTES_MAX = 16 * 1024 * 1024;
/** All npm tarballs hold their files in this folder. */
const TARBALL_ROOT = 'package';

export interface NpmArtifact {
  /** The package's name, scope included. */
  readonly name: string;
  readonly version: string;
  /** `sha512-…` of the tarball, as in a lock file. */
  readonly integrity: string;
  /** Paths inside the package, with `/`. */
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
}

export interface FetchOptions {
  /** One line for people, for each step. */
  readonly onProgress?: (line: string) => void;
}

/**
 * Puts the named files under `targetFolder` (made if absent), at their paths inside the package. Each appears only
 * after all of them have been checked.
 *
 * @throws Failure NPM_CLIENT_MISSING, REGISTRY_UNREACHABLE, ARTIFACT_HASH_DIFFERS
 */
export async function fetchFromPackage(
  artifact: NpmArtifact,
  targetFolder: string,
  options: FetchOptions = {},
): Promise<void> {
  await mkdir(targetFolder, { recursive: true });
  // Beside the target, so that the renames stay within one file system.
  const scratch = await mkdtemp(join(targetFolder, '.fetching-'));
  try {
    options.onProgress?.(`fetching ${artifact.name}@${artifact.version} with npm`);
    const tarball = await packWithNpm(artifact, scratch);
    options.onProgress?.('checking what was fetched');
    if (`sha512-${await digestOf(tarball, 'sha512', 'base64')}` !== artifact.integrity) {
      throw hashDiffers(artifact, 'tarball');
    }
    await extractChecked(artifact, tarball, scratch);
    for (const { path } of artifact.files) {
      await mkdir(dirname(join(targetFolder, path)), { recursive: true });
      await rename(join(scratch, TARBALL_ROOT, path), join(targetFolder, path));
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Whether every file is in the folder, whole. */
export async function hasFilesOf(artifact: Pick<NpmArtifact, 'files'>, folder: string): Promise<boolean> {
  for (const { path, sha256 } of artifact.files) {
    const bytes = await readFile(join(folder, path)).catch(() => undefined);
    if (bytes === undefined || createHash('sha256').update(bytes).digest('hex') !== sha256) return false;
  }
  return true;
}

async function packWithNpm(artifact: NpmArtifact, scratch: string): Promise<string> {
  // Under `npm start` the client that runs us is named in the environment; it need not be on the PATH.
  const cli = process.env['npm_execpath'];
  const [command, ...prefix] = cli?.endsWith('npm-cli.js') === true ? [process.execPath, cli] : ['npm'];
  const spec = `${artifact.name}@${artifact.version}`;
  const args = [...prefix, 'pack', spec, '--pack-destination', scratch, '--ignore-scripts', '--json'];
  await new Promise<void>((resolve, reject) => {
    const limits = { timeout: NPM_TIME_LIMIT_MS, maxBuffer: NPM_OUTPUT_SIZE_BYTES_MAX };
    const npm = execFile(command, args, limits, (error, stdout, stderr) => {
      process.off('exit', end);
      if (error === null) resolve();
      else reject(npmFailure(artifact, error, `${stdout}\n${stderr}`));
    });
    // Whoever gives up meanwhile leaves no client behind that goes on for minutes.
    const end = (): void => void npm.kill();
    process.once('exit', end);
  });
  // The name that npm prints differs between its versions for scoped packages; there is just the one file.
  const tarball = (await readdir(scratch)).find((name) => name.endsWith('.tgz'));
  if (tarball === undefined) throw registryUnreachable(artifact, 'npm wrote no tarball');
  return join(scratch, tarball);
}

async function extractChecked(artifact: NpmArtifact, tarball: string, scratch: string): Promise<void> {
  const wanted = new Set(artifact.files.map(({ path }) => `${TARBALL_ROOT}/${path}`));
  await extract({ file: tarball, cwd: scratch, filter: (path) => wanted.has(path), noChmod: true });
  for (const { path, sha256 } of artifact.files) {
    const found = await digestOf(join(scratch, TARBALL_ROOT, path), 'sha256', 'hex').catch(() => undefined);
    if (found !== sha256) throw hashDiffers(artifact, path);
  }
}

export async function digestOf(
  path: string,
  algorithm: 'sha256' | 'sha512',
  encoding: 'hex' | 'base64',
): Promise<string> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(path), hash);
  return hash.digest(encoding);
}

function npmFailure(artifact: NpmArtifact, error: Error & { killed?: boolean }, output: string): Failure {
  if ('code' in error && error.code === 'ENOENT') {
    return new Failure(
      'NPM_CLIENT_MISSING',
      'npm was not found: install it, or put the files in place by hand.',
      false,
      {
        cause: error,
      },
    );
  }
  if (error.killed === true) return registryUnreachable(artifact, `no answer in ${NPM_TIME_LIMIT_MS / 1000} s`, error);
  const code = /"code":\s*"(E\w+)"|code (E\w+)/.exec(output);
  return registryUnreachable(artifact, code?.[1] ?? code?.[2] ?? 'npm failed', error);
}

function registryUnreachable(artifact: NpmArtifact, why: string, cause?: unknown): Failure {
  return new Failure(
    'REGISTRY_UNREACHABLE',
    `${artifact.name}@${artifact.version} could not be fetched (${why}): check the network and npm's registry setting, then try again.`,
    true,
    { cause },
  );
}

function hashDiffers(artifact: NpmArtifact, what: string): Failure {
  return new Failure(
    'ARTIFACT_HASH_DIFFERS',
    `${artifact.name}@${artifact.version}: the ${what} is not the one that was pinned. Do not use it; ask where it came from.`,
    false,
  );
}
