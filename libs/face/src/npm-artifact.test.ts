import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { npmClientForTests, packForTests, type PackedPackage } from '#testkit/npm-client-for-tests.js';
import { fetchFromPackage, hasFilesOf, type NpmArtifact } from './npm-artifact.js';

let folder: string;
let target: string;
let packed: PackedPackage;
let artifact: NpmArtifact;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'artifact-'));
  target = join(folder, 'target');
  packed = await packForTests(folder, { 'model/a.bin': 'aaa', 'b.bin': 'bb', 'install.js': 'throw 1' });
  const files = ['model/a.bin', 'b.bin'].map((path) => ({ path, sha256: packed.sha256[path]! }));
  artifact = { name: '@example/pack', version: '1.2.3', integrity: packed.integrity, files };
  vi.stubEnv('npm_execpath', packed.npmExecPath);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

test('takes out the files that were asked for and leaves nothing else behind', async () => {
  await fetchFromPackage(artifact, target);
  expect((await readdir(target, { recursive: true })).sort()).toEqual(['b.bin', 'model', 'model/a.bin']);
  expect(await readFile(join(target, 'model/a.bin'), 'utf8')).toBe('aaa');
  expect(await hasFilesOf(artifact, target)).toBe(true);
});

test('refuses another tarball than the pinned one, with ARTIFACT_HASH_DIFFERS and no file', async () => {
  const other = { ...artifact, integrity: `sha512-${'A'.repeat(86)}==` };
  await expect(fetchFromPackage(other, target)).rejects.toMatchObject({
    code: 'ARTIFACT_HASH_DIFFERS',
    retryable: false,
  });
  expect(await readdir(target)).toEqual([]);
});

test.each([
  ['differs', { path: 'b.bin', sha256: '0'.repeat(64) }],
  ['is not in the package', { path: 'c.bin', sha256: '0'.repeat(64) }],
])('refuses when a file %s, with ARTIFACT_HASH_DIFFERS and no file', async (_how, file) => {
  const other = { ...artifact, files: [artifact.files[0]!, file] };
  await expect(fetchFromPackage(other, target)).rejects.toMatchObject({
    code: 'ARTIFACT_HASH_DIFFERS',
    publicText: expect.stringContaining(file.path) as string,
  });
  expect(await readdir(target)).toEqual([]);
});

test('says NPM_CLIENT_MISSING when there is no npm', async () => {
  vi.stubEnv('npm_execpath', undefined);
  vi.stubEnv('PATH', folder);
  await expect(fetchFromPackage(artifact, target)).rejects.toMatchObject({ code: 'NPM_CLIENT_MISSING' });
});

test('says REGISTRY_UNREACHABLE, retryable and with the cause, when npm cannot fetch', async () => {
  const source = `console.log(JSON.stringify({ error: { code: 'ENOTFOUND' } }, null, 2)); process.exit(1)`;
  vi.stubEnv('npm_execpath', await npmClientForTests(folder, source));
  await expect(fetchFromPackage(artifact, target)).rejects.toMatchObject({
    code: 'REGISTRY_UNREACHABLE',
    retryable: true,
    publicText: expect.stringContaining('ENOTFOUND') as string,
  });
});
