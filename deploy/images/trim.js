/**
 * Takes out of the installed packages what an image of this machine never runs, and makes a second tree without the
 * face pipeline. Part of the Dockerfile.
 */
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const runtime = join('node_modules', 'onnxruntime-node', 'bin', 'napi-v6');
for (const platform of readdirSync(runtime)) {
  if (platform !== process.platform) rmSync(join(runtime, platform), { recursive: true });
}
for (const arch of readdirSync(join(runtime, process.platform))) {
  if (arch !== process.arch) rmSync(join(runtime, process.platform, arch), { recursive: true });
}
// What hnswlib-node was compiled from, and on the way.
const hnswlib = join('node_modules', 'hnswlib-node');
for (const folder of [
  'deps',
  'src',
  'node_modules',
  join('build', 'Release', 'obj.target'),
  join('build', 'Release', '.deps'),
]) {
  rmSync(join(hnswlib, folder), { recursive: true, force: true });
}

const FACES = ['onnxruntime-node', 'onnxruntime-common', 'sharp', '@img', 'echarts', 'zrender', '@aws-sdk', '@smithy'];
cpSync('node_modules', 'node_modules-without-faces', { recursive: true, verbatimSymlinks: true });
for (const name of FACES) rmSync(join('node_modules-without-faces', name), { recursive: true, force: true });
