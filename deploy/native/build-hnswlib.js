/**
 * Builds hnswlib-node, which has no prebuilt binary, with the vector instructions of this machine, and says in one line
 * what is missing when it cannot. Does nothing when it is built already. Part of `npm run build`.
 *
 * HNSWLIB_TARGET=baseline builds for any x86-64: for an image that runs on other machines than it is made on.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const folder = join(root, 'node_modules', 'hnswlib-node');
const addon = join(folder, 'build', 'Release', 'addon.node');
const stamp = join(folder, 'build', 'built-for');
/** Read by libs/gallery/src/hnsw-native.ts, which does not load what the machine cannot run. */
const neededFlags = join(folder, 'build', 'cpu-flags');
const TOOLS = [
  ['python3', 'python3'],
  ['make', 'make'],
  ['g++', 'g++'],
];

const LOCK_MS_MAX = 3 * 60_000;
/** What the compiler may use for x86-64-v3, as /proc/cpuinfo names it. */
const V3_FLAGS = ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe', 'xsave'];

/** AVX2 and FMA give 1.3 to 1.4 times the searches and 1.9 times the insertions of a build without them. */
function target() {
  if (process.env.HNSWLIB_TARGET === 'baseline' || process.arch !== 'x64') return 'baseline';
  const flags = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  return V3_FLAGS.every((flag) => new RegExp(`\\b${flag}\\b`).test(flags)) ? 'x86-64-v3' : 'baseline';
}

function fail(code, text) {
  process.stderr.write(`${code}: ${text}\n`);
  process.exit(1);
}

const wanted = `${target()} node-api`;
if (!existsSync(folder)) fail('NOT_INSTALLED', 'node_modules is missing or incomplete: run npm ci.');
const isBuilt = () => existsSync(addon) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
const sayWhatItNeeds = () => writeFileSync(neededFlags, target() === 'baseline' ? '' : V3_FLAGS.join(' '));
if (isBuilt()) {
  if (!existsSync(neededFlags)) sayWhatItNeeds();
  process.exit(0);
}

for (const [command, debianPackage] of TOOLS) {
  if (spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined) continue;
  fail(
    'BUILD_TOOL_MISSING',
    `${command} is needed to build hnswlib-node: install it (Debian: apt-get install ${debianPackage}).`,
  );
}

// Another shell's build at the same moment would have its files swept away by this one.
const lock = join(folder, 'building');
for (const deadline = Date.now() + LOCK_MS_MAX; ;) {
  try {
    mkdirSync(lock);
    break;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (Date.now() > deadline) fail('NATIVE_BUILD_LOCKED', `another build seems to have died: remove ${lock}.`);
    await pause(500);
  }
}
process.once('exit', () => rmSync(lock, { recursive: true, force: true }));
if (isBuilt()) process.exit(0);

// npm's own node-gyp, found beside the npm that runs this.
const npm =
  process.env.npm_execpath ?? execFileSync('npm', ['root', '-g'], { encoding: 'utf8' }).trim() + '/npm/bin/npm-cli.js';
const nodeGyp = join(dirname(npm), '..', 'node_modules', 'node-gyp', 'bin', 'node-gyp.js');
process.stdout.write(`building hnswlib-node for ${target()}, once; this takes about half a minute\n`);
const built = spawnSync(process.execPath, [nodeGyp, 'rebuild'], {
  cwd: folder,
  env: { ...process.env, CXXFLAGS: target() === 'baseline' ? '-O3' : `-O3 -march=${target()}` },
  encoding: 'utf8',
});
if (built.status !== 0 || !existsSync(addon)) {
  process.stderr.write(`${built.stdout}${built.stderr}\n`);
  const headers = /fatal error: \S*node_api\.h|node\.h: No such file|ENOTFOUND|ECONNREFUSED|ETIMEDOUT/.test(
    built.stdout + built.stderr,
  )
    ? "Node's headers could not be had: install them and set npm's nodedir to where they are (Debian: apt-get install libnode-dev; npm config set nodedir /usr)."
    : 'the compiler failed, see above.';
  fail('NATIVE_BUILD_FAILED', `hnswlib-node could not be built: ${headers}`);
}
sayWhatItNeeds();
writeFileSync(stamp, wanted);
