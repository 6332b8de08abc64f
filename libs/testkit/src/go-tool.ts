/** A program that Go builds once, for tests that need a real one which no package manager here has. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { cacheFolder } from '#platform/cache-folder.js';

/** On a machine that has none of its modules, and is busy. */
const BUILD_TIMEOUT_MS = 480_000;
/** Where Go is put when it does not come from the system. */
const GO_FOLDER = '/usr/local/go/bin';
const PATH = [process.env['PATH'] ?? '', GO_FOLDER].join(delimiter);

/**
 * Built into the cache, where it is not there yet.
 *
 * @param commandPackage import path; its last part is the program's name
 * @returns the program's path, or why there is none
 */
export function goTool(
  commandPackage: string,
  version: string,
): { readonly path: string } | { readonly missing: string } {
  const name = commandPackage.split('/').at(-1)!;
  const folder = join(cacheFolder(), 'go', `${commandPackage.split('/')[2]}-${version}`);
  const path = join(folder, name);
  if (existsSync(path)) return { path };
  const { status, stderr, error } = spawnSync('go', ['install', '-trimpath', `${commandPackage}@${version}`], {
    env: { ...process.env, PATH, GOBIN: folder },
    encoding: 'utf8',
    timeout: BUILD_TIMEOUT_MS,
  });
  if (status === 0) return { path };
  return { missing: `it cannot be built: ${error?.message ?? stderr.trim().split('\n').at(-1)}` };
}
