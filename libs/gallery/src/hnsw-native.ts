/**
 * hnswlib-node, loaded only where it can run. An addon that was built for newer processors ends the process by an
 * illegal instruction at its first search, with no word of why; so what it was built for is compared with what this
 * machine has, before it is loaded. See deploy/native/build-hnswlib.js, which writes down what it builds for.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type hnswlib from 'hnswlib-node';
import { Failure } from '#domain/errors.js';

type Hnswlib = typeof hnswlib;
export type NativeGraph = InstanceType<Hnswlib['HierarchicalNSW']>;

const require = createRequire(import.meta.url);
let loaded: Hnswlib | undefined;

/** @throws Failure NATIVE_BUILD_NOT_FOR_THIS_MACHINE */
export function loadHnswlib(): Hnswlib {
  if (loaded !== undefined) return loaded;
  const folder = dirname(require.resolve('hnswlib-node/package.json'));
  requireMachineFor(textOf(join(folder, 'build', 'cpu-flags')), textOf('/proc/cpuinfo'));
  loaded = require('hnswlib-node') as Hnswlib;
  return loaded;
}

/**
 * @param needed flags as /proc/cpuinfo names them, separated by blanks
 * @param cpuInfo of /proc/cpuinfo; empty where there is none, and nothing can be said
 * @throws Failure NATIVE_BUILD_NOT_FOR_THIS_MACHINE
 */
export function requireMachineFor(needed: string, cpuInfo: string): void {
  const flags = /^flags\s*:(.*)$/m.exec(cpuInfo)?.[1];
  if (flags === undefined) return;
  const had = new Set(words(flags));
  const missing = words(needed).filter((flag) => !had.has(flag));
  if (missing.length === 0) return;
  throw new Failure(
    'NATIVE_BUILD_NOT_FOR_THIS_MACHINE',
    `hnswlib-node was built for processors with ${missing.join(', ')}, which this one has not: build it here (npm run build:native), or for any machine (HNSWLIB_TARGET=baseline).`,
    false,
  );
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Built by other means, or not Linux: nothing is known.
    return '';
  }
}
