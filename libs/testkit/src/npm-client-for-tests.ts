/** Stands in for the npm client, which is outside the project: answers `npm pack` from a folder instead of a registry. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { create } from 'tar';

export interface PackedPackage {
  /** `sha512-…` of the tarball. */
  readonly integrity: string;
  /** SHA-256 in hex by path. */
  readonly sha256: Readonly<Record<string, string>>;
  /** For the environment variable `npm_execpath`. */
  readonly npmExecPath: string;
}

/**
 * Packs files as npm would, and writes a client that delivers the tarball.
 *
 * @param folder an empty folder of the test's own
 * @param files content by path inside the package
 */
export async function packForTests(
  folder: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<PackedPackage> {
  const sha256: Record<string, string> = {};
  for (const [path, content] of Object.entries(files)) {
    const target = join(folder, 'package', path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, content);
    sha256[path] = createHash('sha256').update(content).digest('hex');
  }
  const tarball = join(folder, 'packed.tar.gz');
  await create({ cwd: folder, file: tarball, gzip: true }, ['package']);
  const integrity = `sha512-${createHash('sha512')
    .update(await readFile(tarball))
    .digest('base64')}`;
  const deliver = `const at = process.argv.indexOf('--pack-destination');
require('node:fs').copyFileSync(${JSON.stringify(tarball)}, process.argv[at + 1] + '/delivered.tgz');`;
  return { integrity, sha256, npmExecPath: await npmClientForTests(folder, deliver) };
}

/** A client that runs the given CommonJS source. */
export async function npmClientForTests(folder: string, source: string): Promise<string> {
  const path = join(folder, 'npm-cli.js');
  await writeFile(path, source);
  return path;
}
