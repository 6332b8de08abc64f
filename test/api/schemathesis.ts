/** Schemathesis, as its requirements pin it, in a Python environment of its own in the cache. */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { pythonEnvironment } from '#testkit/python-environment.js';

/** Of each call, beside those that try each rule of each field, which are some two thousand. */
export const EXAMPLES = process.env['API_TEST_EXAMPLES'] ?? '5';
/** The same one asks the same; what the services are doing meanwhile may differ. */
export const SEED = process.env['API_TEST_SEED'] ?? String(randomInt(2 ** 31));

const REQUIREMENTS = join(import.meta.dirname, 'requirements.txt');
export interface SchemathesisRun {
  readonly code: number;
  readonly output: string;
}

/** Installs it unless it is there. @returns its command @throws Error with what pip has said */
export async function installSchemathesis(): Promise<string> {
  return join(await pythonEnvironment('schemathesis', REQUIREMENTS), 'schemathesis');
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
