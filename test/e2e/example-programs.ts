/** The programs of docs/examples, built as their READMEs say, in the cache. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '#platform/cache-folder.js';
import { pythonEnvironment } from '#testkit/python-environment.js';

const EXAMPLES = join(import.meta.dirname, '..', '..', 'docs', 'examples');
const BUILD_TIMEOUT_MS = 280_000;

export interface ExampleRun {
  readonly code: number;
  /** The JSON that it printed, line by line. */
  readonly printed: readonly Record<string, unknown>[];
  readonly output: string;
}

/** Runs one of them with these arguments, against these brokers. */
export type Example = (brokers: string, ...args: string[]) => Promise<ExampleRun>;

/** Why Java's cannot be run here, or undefined. */
export function missingForJava(): string | undefined {
  const found = ['java', 'mvn'].filter((command) => spawnSync(command, ['-version']).error !== undefined);
  return found.length === 0 ? undefined : `not installed: ${found.join(', ')}`;
}

/** @throws Error with what Maven has said */
export async function javaExamples(): Promise<(name: string) => Example> {
  const source = join(EXAMPLES, 'java');
  const hash = createHash('sha256');
  const files = await readdir(source, { recursive: true, withFileTypes: true });
  const paths = files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
  for (const path of paths.filter((one) => !one.includes('/target/')).sort()) hash.update(await readFile(path));
  const folder = join(cacheFolder(), 'java-examples', hash.digest('hex').slice(0, 16));
  if (!existsSync(folder)) {
    const building = `${folder}.${process.pid}`;
    await cp(source, building, { recursive: true, filter: (path) => !path.endsWith('/target') });
    const { status, stdout, stderr } = spawnSync('mvn', ['-B', '-q', 'process-classes'], {
      cwd: building,
      encoding: 'utf8',
      timeout: BUILD_TIMEOUT_MS,
    });
    if (status !== 0) throw new Error(`mvn process-classes: ${stdout}${stderr}`);
    await rename(building, folder).catch(() => rm(building, { recursive: true }));
  }
  const classpath = `${join(folder, 'target', 'classes')}:${join(folder, 'target', 'jars', '*')}`;
  return (name) =>
    (brokers, ...args) =>
      run('java', ['-cp', classpath, `example.${name}`, ...args], brokers);
}

/** @throws Error with what pip has said */
export async function pythonExamples(): Promise<(name: string) => Example> {
  const source = join(EXAMPLES, 'python');
  const bin = await pythonEnvironment('python-examples', join(source, 'requirements.txt'));
  return (name) =>
    (brokers, ...args) =>
      run(join(bin, 'python'), ['-B', join(source, `${name}.py`), ...args], brokers);
}

async function run(command: string, args: readonly string[], brokers: string): Promise<ExampleRun> {
  const child = spawn(command, [...args], {
    env: { ...process.env, KAFKA_BROKERS: brokers },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? -1));
  });
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
  return {
    code,
    printed: lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    output: `${stdout}${stderr}`,
  };
}
