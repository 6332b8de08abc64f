/** Python packages, as a file of requirements pins them with their hashes, in an environment of their own in the cache. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '#platform/cache-folder.js';

const PYTHON = 'python3';
const PYTHON_MINOR_MIN = 11;
const INSTALL_TIMEOUT_MS = 280_000;
/** Written last: an installation that was cut off is made anew. */
const COMPLETE = 'complete';

/** Why there can be none here, or undefined. */
export function missingForPython(): string | undefined {
  const tried = spawnSync(PYTHON, ['-c', 'import sys, ensurepip, venv; print(sys.version_info.minor)'], {
    encoding: 'utf8',
  });
  if (tried.status !== 0) return 'Python 3 with its modules venv and ensurepip (python3-venv) is not installed';
  return Number(tried.stdout) >= PYTHON_MINOR_MIN ? undefined : `Python is older than 3.${PYTHON_MINOR_MIN}`;
}

/**
 * Installs them unless they are there.
 *
 * @param name of the folder in the cache
 * @returns the folder of its programs, `python` among them
 * @throws Error with what pip has said
 */
export async function pythonEnvironment(name: string, requirementsFile: string): Promise<string> {
  const pinned = createHash('sha256')
    .update(await readFile(requirementsFile))
    .digest('hex');
  const folder = join(cacheFolder(), name, pinned.slice(0, 16));
  const bin = join(folder, 'bin');
  if (!existsSync(join(folder, COMPLETE))) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    run(PYTHON, ['-m', 'venv', folder]);
    const options = ['--quiet', '--disable-pip-version-check', '--require-hashes', '--only-binary=:all:'];
    run(join(bin, 'python'), ['-m', 'pip', 'install', ...options, '-r', requirementsFile]);
    await writeFile(join(folder, COMPLETE), '');
  }
  return bin;
}

function run(command: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(command, [...args], {
    encoding: 'utf8',
    timeout: INSTALL_TIMEOUT_MS,
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stdout}${stderr}${error ?? ''}`);
}
