/**
 * hnswlib-node built for any x86-64, as for an image that runs elsewhere: the engine must be as right with it as with the
 * build for this machine. Built into a copy, so that what is installed stays as it is.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectFolder } from '../../apps/cli/src/local-assets.js';

const COPIED = [
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
  'deploy/native',
  'dist/libs/gallery',
  'dist/libs/domain',
];
const LIBS = ['gallery', 'domain', 'testkit'];

let copy: string;
const addonFolder = (): string => join(copy, 'node_modules', 'hnswlib-node');

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'baseline-'));
  const root = projectFolder();
  for (const path of COPIED) await cp(join(root, path), join(copy, path), { recursive: true });
  for (const lib of LIBS) await cp(join(root, 'libs', lib), join(copy, 'libs', lib), { recursive: true });
  await mkdir(join(copy, 'node_modules'));
  for (const name of await readdir(join(root, 'node_modules'))) {
    if (name === 'hnswlib-node') continue;
    await symlink(join(root, 'node_modules', name), join(copy, 'node_modules', name));
  }
  await cp(join(root, 'node_modules', 'hnswlib-node'), addonFolder(), { recursive: true });
  await rm(join(addonFolder(), 'build'), { recursive: true });
  execFileSync(process.execPath, [join(copy, 'deploy', 'native', 'build-hnswlib.js')], {
    env: { ...process.env, HNSWLIB_TARGET: 'baseline' },
  });
});

afterAll(() => rm(copy, { recursive: true, force: true }));

describe('hnswlib-node built for any x86-64', () => {
  it('asks nothing of the processor, and uses nothing that it might not have', async () => {
    expect(await readFile(join(addonFolder(), 'build', 'built-for'), 'utf8')).toMatch(/^baseline /);
    expect(await readFile(join(addonFolder(), 'build', 'cpu-flags'), 'utf8')).toBe('');
    const addon = join(addonFolder(), 'build', 'Release', 'addon.node');
    const disassembled = spawnSync('objdump', ['-d', '--no-show-raw-insn', addon], {
      encoding: 'utf8',
      maxBuffer: 1e9,
    });
    // Without binutils nobody can say.
    if (disassembled.error === undefined) expect(disassembled.stdout).not.toMatch(/%[yz]mm\d/);
  });

  it('passes the conformance suite and the tests of the graph', () => {
    const vitest = join(copy, 'node_modules', 'vitest', 'vitest.mjs');
    const tests = ['libs/gallery/src/hnsw-engine.test.ts', 'libs/gallery/src/hnsw-native.test.ts'];
    const run = spawnSync(process.execPath, [vitest, 'run', '--project', 'unit', '--testTimeout', '60000', ...tests], {
      cwd: copy,
      encoding: 'utf8',
    });
    expect(run.status, run.stdout + run.stderr).toBe(0);
    expect(run.stdout).toMatch(/2 passed/);
  });
});
