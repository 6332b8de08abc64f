/** Schemathesis, as its requirements pin it, in a Python environment of its own in the cache. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '#platform/cache-folder.js';

/** Of each call, beside those that try each rule of each field, which are some two thousand. */
export const EXAMPLES = process.env['API_TEST_EXAMPLES'] ?? '5';
/** The same one asks the same; what the services are doing meanwhile may differ. */
export const SEED = process.env['API_TEST_SEED'] ?? String(randomInt(2 ** 31));

const PYTHON = 'python3';
const PYTHON_MINOR_MIN = 11;
const INSTALL_TIMEOUT_MS = 280_000;
const REQUIREMENTS = join(import.meta.dirname, 'requirements.txt');
/** Written last: an installation that was cut off is made anew. */
const COMPLETE = 'complete';

export interface SchemathesisRun {
  readonly code: number;
  readonly output: string;
}

/** Why it cannot be run here, or undefined. */
export function missing(): string | undefined {
  const tried = spawnSync(PYTHON, ['-c', 'import sys, ensurepip, venv; print(sys.version_info.minor)'], {
    encoding: 'utf8',
  });
  if (tried.status !== 0) return 'Python 3 with its modules venv and ensurepip (python3-venv) is not installed';
  return Number(tried.stdout) >= PYTHON_MINOR_MIN ? undefined : `Python is older than 3.${PYTHON_MINOR_MIN}`;
}

/** Installs it unless it is there. @returns its command @throws Error with what pip has said */
export async function installSchemathesis(): Promise<string> {
  const pinned = createHash('sha256')
    .update(await readFile(REQUIREMENTS))
    .digest('hex');
  const folder = join(cacheFolder(), 'schemathesis', pinned.slice(0, 16));
  const bin = join(folder, 'bin');
  if (!existsSync(join(folder, COMPLETE))) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    run(PYTHON, ['-m', 'venv', folder]);
    const options = ['--quiet', '--disable-pip-version-check', '--require-hashes', '--only-binary=:all:'];
    run(join(bin, 'python'), ['-m', 'pip', 'install', ...options, '-r', REQUIREMENTS]);
    await writeFile(join(folder, COMPLETE), '');
  }
  return join(bin, 'schemathesis');
}

/**
 * Tries an OpenAPI document. Resolves when it has ended, whatever it has found.
 *
 * @param folder for what it writes beside
 */
export async function runSchemathesis(
  command: string,
  url: string,
  options: readonly string[],
  environment: Readonly<Record<string, string>>,
  folder: string,
): Promise<SchemathesisRun> {
  const config = join(import.meta.dirname, 'schemathesis.toml');
  const child = spawn(command, ['--config-file', config, 'run', url, '--no-color', ...options], {
    cwd: folder,
    env: {
      ...process.env,
      ...environment,
      PYTHONPATH: import.meta.dirname,
      SCHEMATHESIS_HOOKS: 'api_hooks',
      PYTHONDONTWRITEBYTECODE: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? -1));
  });
  return { code, output };
}

function run(command: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(command, [...args], {
    encoding: 'utf8',
    timeout: INSTALL_TIMEOUT_MS,
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stdout}${stderr}${error ?? ''}`);
}
